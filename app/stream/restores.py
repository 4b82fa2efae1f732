"""How each kind of state is restored: from which changelog, by which meaning of its records, checked against what."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.clock import Clock
from app.kafka.admin import Admin
from app.kafka.consumer import BulkReader
from app.stages import assignments, link_state, restoring
from app.stages.restoring import LogFacts
from app.stream.collected import collected
from app.stream.restore import Apply, Restore
from app.stream.store import PartitionStore
from app.topics import Topics

Check = Callable[[int, PartitionStore, LogFacts], None]
Progress = Callable[[int, int, int], None]
"""(partition, offsets done, offsets in all)."""


class Restores:
    """The restores, by the topic whose stage keeps the state.

    Args:
        group: The consumer group.
        progress: Makes what is told of a topic's restores.
    """

    def __init__(
        self, topics: Topics, admin: Admin, reader: BulkReader, clock: Clock, group: str,
        progress: Callable[[str], Progress],
    ) -> None:  # fmt: skip
        self._admin = admin
        self._reader = reader
        self._clock = clock
        self._group = group
        self._progress = progress
        self._by_topic: Mapping[str, Restore] = {
            **{
                each.source: self._restore(
                    each.source,
                    each.changelog,
                    restoring.apply,
                    lambda partition, store, facts: restoring.check(partition, restoring.meta_of(store), facts),
                )
                for each in collected(topics)
            },
            topics.identity_links: self._restore(
                topics.identity_links,
                topics.identity_changelog,
                link_state.apply,
                lambda partition, store, facts: restoring.check(partition, link_state.meta_of(store), facts),
            ),
            # Its own changelog: the group's place in it says nothing of what the store has to hold.
            topics.identity_assignments: self._restore(
                topics.identity_assignments,
                topics.identity_assignments,
                assignments.apply,
                lambda partition, store, facts: None,
            ),
        }

    def __getitem__(self, topic: str) -> Restore:
        return self._by_topic[topic]

    def _restore(self, source: str, changelog: str, apply: Apply, check: Check) -> Restore:
        return Restore(
            changelog,
            apply,
            check,
            self._reader,
            lambda partition: self._facts(source, changelog, partition),
            self._clock,
            self._progress(source),
        )

    async def _facts(self, topic: str, changelog: str, partition: int) -> LogFacts:
        source, log = (topic, partition), (changelog, partition)
        described = await self._admin.describe([topic])
        ends = await self._admin.end_offsets(list({source, log}))
        starts = await self._admin.beginning_offsets([log])
        committed = await self._admin.committed(self._group, [source])
        return LogFacts(
            source=topic,
            epoch=described[topic].topic_id.replace("-", ""),
            source_end=ends[source],
            committed=committed[source],
            changelog_start=starts[log],
            changelog_end=ends[log],
        )
