"""Reads the log of `profiles.in` for a profile that is folded anew (`app.stages.refold`)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.definitions.model import Catalog
from app.identity.rules import Identifier
from app.kafka.admin import Admin
from app.kafka.consumer import BulkRead, BulkReader, RawRecord
from app.profiles.state import Profile
from app.stages.envelope import Body
from app.stages.pieces import Pieces
from app.stages.records import InRecord
from app.stages.refold import Refold, Refolded, order, wanted
from app.stages.splitting import family
from app.topics import Topics, partition_of

BREATHE_RECORDS = 100
"""Folded in one go; then everything else of the process has its turn."""


@dataclass(frozen=True, slots=True)
class LogFold:
    """What a profile is as two, and how far back the log reached."""

    folded: Refolded
    since_ms: int | None
    """When the log begins, where it was cut; None where it has all from the first record on."""


class Stretch:
    """The records of one partition that count, one ahead."""

    def __init__(self, partition: int, is_cut: bool, batches: AsyncIterator[list[RawRecord]], keys: frozenset[bytes]):
        self.partition = partition
        self.since_ms: int | None = None
        self._is_cut = is_cut
        self._batches = batches
        self._keys = keys
        self._ahead: deque[tuple[RawRecord, Body]] = deque()

    async def head(self) -> tuple[RawRecord, Body] | None:
        """The next one; None at the end."""
        while not self._ahead:
            records = await anext(self._batches, None)
            if records is None:
                return None
            if self._is_cut and self.since_ms is None:
                self.since_ms = records[0].timestamp
            found = ((record, wanted(record, self._keys)) for record in records)
            self._ahead.extend((record, body) for record, body in found if body is not None)
        return self._ahead[0]

    def pop(self) -> None:
        self._ahead.popleft()


async def refold(
    admin: Admin, reader: BulkReader, topics: Topics, partitions: int, profile: str, held: Profile,
    identifier: Identifier, catalog: Catalog, *, until: int | None, at_ms: int, since: Mapping[str, int],
) -> LogFold:  # fmt: skip
    """Fold a profile anew, as what is left of it without an identifier and what that takes with it.

    Args:
        held: The profile as it is.
        catalog: In force in its partition.
        until: The offset in its own partition before which its records count; None for all.
        at_ms: The instant to which both are brought.
        since: `type:value` → ms: what was said before that of an identifier was erased.

    Raises:
        ReadError: The log cannot be read; it may have been cut meanwhile.
    """
    topic = topics.profiles_in
    names = frozenset(family(profile, held.merging))
    keys = frozenset(each.encode() for each in names)
    own = partition_of(profile.encode(), partitions)
    read = sorted({partition_of(key, partitions) for key in keys})
    starts = await admin.beginning_offsets([(topic, each) for each in read])

    def stretches() -> list[Stretch]:
        reads = ((each, starts[topic, each]) for each in read)
        return [Stretch(each, start > 0, reader.read(BulkRead(topic, each, start)), keys) for each, start in reads]

    pieces = Pieces(held.merging, own, until)
    if pieces.names:
        await feed(pieces, stretches())
    is_whole = not any(starts.values())
    fold = Refold(
        topic, own, names, identifier, held, catalog,
        until=until, is_whole=is_whole, since=since, pieces=pieces,
    )  # fmt: skip
    folded = stretches()
    await feed(fold, folded)
    begins = [each.since_ms for each in folded if each.since_ms is not None]
    return LogFold(
        fold.done(max(at_ms, held.clock)),
        max(begins, default=None) if not is_whole else None,
    )


class Taker(Protocol):
    """Whoever is read to."""

    def take(self, partition: int, record: InRecord, body: Body) -> None:
        """The next record."""
        ...


async def feed(taker: Taker, stretches: Sequence[Stretch]) -> None:
    """Let it take all records: of those that stand first, the one that came first."""
    count = 0
    while True:
        heads = [(stretch, await stretch.head()) for stretch in stretches]
        ready = [(order(*head), stretch.partition, stretch, head) for stretch, head in heads if head is not None]
        if not ready:
            return
        _, partition, stretch, (record, body) = min(ready, key=lambda each: each[:2])
        stretch.pop()
        taker.take(partition, record, body)
        count += 1
        if count % BREATHE_RECORDS == 0:
            await asyncio.sleep(0)
