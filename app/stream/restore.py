"""Changelog → store, in bulk: a lost or stale store becomes what the partition's log says, before it serves.

A store that holds everything up to changelog offset L is brought on from L + 1; one that cannot be trusted is filled
from the start. What does not fit together is refused: a mass of wrong exits is worse than a partition that stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from app.clock import Clock
from app.errors import StateError, StateErrorReason
from app.kafka.consumer import BulkRead, BulkReader
from app.observability import logs
from app.observability.failpoints import Failpoint, failpoint
from app.stages.restoring import LogFacts
from app.stream.store import PartitionStore

log = logs.get("restore")

TOMBSTONES_KEPT_MS = 86_400_000
"""A store that was last flushed longer ago may have missed deletions (Kafka's default `delete.retention.ms`)."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    epoch: str
    records: int
    seconds: float
    log_end: int
    """The changelog offset that the next record gets."""


Apply = Callable[[PartitionStore, Sequence[tuple[bytes | None, bytes | None]], int], None]
"""Writes a stretch of the changelog into a store, with its last offset; blocks."""


class Restore:
    """Restores partitions, in parallel, up to a number at a time.

    Args:
        changelog: The topic.
        apply: What its records mean.
        check: Raises StateError where what has come of it does not fit its source.
        facts: Asks the broker about a partition.
        reader: Reads changelogs, raw.
        progress: Called with (partition, offsets done, offsets in all) now and then.
    """

    def __init__(
        self,
        changelog: str,
        apply: Apply,
        check: Callable[[int, PartitionStore, LogFacts], None],
        reader: BulkReader,
        facts: Callable[[int], Awaitable[LogFacts]],
        clock: Clock,
        progress: Callable[[int, int, int], None],
        parallel: int = 4,
    ) -> None:
        self._changelog = changelog
        self._apply = apply
        self._check = check
        self._reader = reader
        self._facts = facts
        self._clock = clock
        self._progress = progress
        self._slots = asyncio.Semaphore(parallel)

    async def run(self, partition: int, store: PartitionStore) -> Restored:
        """Bring a store up to its changelog's end.

        Raises:
            StateError: SOURCE_RECREATED, SOURCE_CUT or CHANGELOG_LOST; the message says what an operator can do.
        """
        async with self._slots:
            started_s = self._clock.monotonic_s()
            facts = await self._facts(partition)
            done = await self._read(partition, store, facts)
            self._check(partition, store, facts)
            return Restored(facts.epoch, done, self._clock.monotonic_s() - started_s, facts.changelog_end)

    async def _read(self, partition: int, store: PartitionStore, facts: LogFacts) -> int:
        start = self._start(partition, store, facts)
        done, total = 0, facts.changelog_end - start
        if total <= 0:
            return 0
        read = BulkRead(self._changelog, partition, start, facts.changelog_end)
        async for records in self._reader.read(read):
            # In a thread: RocksDB lets go of the interpreter, and other partitions decode meanwhile.
            await asyncio.to_thread(
                self._apply, store, [(each.key, each.value) for each in records], records[-1].offset
            )
            failpoint(Failpoint.MID_RESTORE)
            done += len(records)
            # By offset, not by count: compaction leaves gaps, and what is left would never reach nothing.
            self._progress(partition, records[-1].offset + 1 - start, total)
        await asyncio.to_thread(store.flush)
        return done

    def _start(self, partition: int, store: PartitionStore, facts: LogFacts) -> int:
        held = store.log_offset()
        if held < 0:
            return facts.changelog_start
        if held >= facts.changelog_end:
            raise StateError(
                partition,
                StateErrorReason.CHANGELOG_LOST,
                f"the store holds changelog offset {held}, but {self._changelog} ends before "
                f"{facts.changelog_end}: it was deleted or cut. Bring the topic back; or stop all workers and delete "
                "their data directories and the group's offsets, so that everything is computed from the source again",
            )
        age_ms = self._clock.now_ms() - store.flushed_at_ms()
        if held + 1 < facts.changelog_start or age_ms > TOMBSTONES_KEPT_MS:
            log.info("the store is too old to be brought on; it is filled from the start", partition=partition)
            store.clear()
            return facts.changelog_start
        return held + 1
