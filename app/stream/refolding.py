"""Reads the log of `profiles.in` for profiles that are folded anew (`app.stages.anew`), for several at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, Protocol, TypeVar

from app.definitions.model import Catalog
from app.identity.rules import Identifier
from app.kafka.admin import Admin
from app.kafka.consumer import BulkRead, BulkReader, RawRecord, ReadError
from app.profiles.state import Profile
from app.stages.anew import order, wanted
from app.stages.envelope import Body
from app.stages.pieces import Pieces
from app.stages.records import InRecord
from app.stages.refold import Refold, Refolded
from app.stages.splitting import family
from app.topics import Topics, partition_of

BREATHE_RECORDS = 100
"""Folded in one go; then everything else of the process has its turn."""


class Taker(Protocol):
    """Whoever is read to."""

    def take(self, partition: int, record: InRecord, body: Body) -> None:
        """The next record."""
        ...


Made = TypeVar("Made", bound=Taker, covariant=True)


@dataclass(frozen=True, slots=True)
class Job(Generic[Made]):
    """Something to be folded anew."""

    names: Collection[str]
    """The profiles whose records it takes."""
    pieces: Pieces
    begin: Callable[[bool], Made]
    """Makes what is read to, once the pieces are known, by whether the log has all from the first record on."""


@dataclass(frozen=True, slots=True)
class Read(Generic[Made]):
    """A job that has been read to."""

    fold: Made
    since_ms: int | None
    """When the log begins, where it was cut; None where it has all from the first record on."""


@dataclass(frozen=True, slots=True)
class LogFold:
    """What a profile is as two, and how far back the log reached."""

    folded: Refolded
    since_ms: int | None


class Partition:
    """A partition of the log, read once for all who take records of it."""

    def __init__(self, number: int, is_cut: bool, batches: AsyncIterator[list[RawRecord]]) -> None:
        self.number = number
        self.since_ms: int | None = None
        self._is_cut = is_cut
        self._batches = batches
        self._by_key: dict[bytes, list[Stretch]] = {}
        self._all: list[Stretch] = []

    def stretch(self, keys: frozenset[bytes]) -> Stretch:
        """The records of these keys. Asked for before the first is read."""
        made = Stretch(self)
        self._all.append(made)
        for key in keys:
            self._by_key.setdefault(key, []).append(made)
        return made

    def leave(self, stretch: Stretch) -> None:
        """Nothing more is dealt to it."""
        self._all.remove(stretch)
        self._by_key = {key: [each for each in held if each is not stretch] for key, held in self._by_key.items()}
        stretch.ahead.clear()

    async def more(self) -> bool:
        """Read on, and deal out what there is; whether there was anything."""
        records = await anext(self._batches, None)
        if records is None:
            return False
        if self._is_cut and self.since_ms is None:
            self.since_ms = records[0].timestamp
        for record in records:
            takers = self._all if record.key is None else self._by_key.get(record.key, ())
            if takers and (body := wanted(record)) is not None:
                for each in takers:
                    each.ahead.append((record, body))
        return True


class Stretch:
    """The records of one partition that count for somebody, one ahead."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.ahead: deque[tuple[RawRecord, Body]] = deque()

    async def head(self) -> tuple[RawRecord, Body] | None:
        """The next one; None at the end."""
        while not self.ahead:
            if not await self.partition.more():
                return None
        return self.ahead[0]

    def pop(self) -> None:
        """The next one has been taken."""
        self.ahead.popleft()

    def leave(self) -> None:
        """Nobody takes any more."""
        self.partition.leave(self)


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
    own = partition_of(profile.encode(), partitions)
    job = of_split(topics.profiles_in, own, profile, held, identifier, catalog, until=until, since=since)
    (found,) = await read_for(admin, reader, topics, partitions, [job])
    if isinstance(found, Exception):
        raise found
    return LogFold(found.fold.done(max(at_ms, held.clock)), found.since_ms)


def of_split(
    topic: str, own: int, profile: str, held: Profile, identifier: Identifier, catalog: Catalog, *,
    until: int | None, since: Mapping[str, int],
) -> Job[Refold]:  # fmt: skip
    """What has to be read for a split; the arguments are those of `refold`."""
    names, pieces = family(profile, held.merging), Pieces(held.merging, own, until)

    def begin(is_whole: bool) -> Refold:
        return Refold(
            topic, own, names, identifier, held, catalog, until=until, is_whole=is_whole, since=since, pieces=pieces,
        )  # fmt: skip

    return Job(names, pieces, begin)


async def read_for(
    admin: Admin, reader: BulkReader, topics: Topics, partitions: int, jobs: Sequence[Job[Made]]
) -> list[Read[Made] | Exception]:
    """Read the log once for all of several jobs, and before that for each that has pieces, which are rare.

    Returns:
        In the order of the jobs: what was read to, or what has gone wrong with that one.

    Raises:
        ReadError: The log cannot be read; it may have been cut meanwhile.
    """
    keys = [frozenset(name.encode() for name in job.names) for job in jobs]
    places = [sorted({partition_of(key, partitions) for key in of_job}) for of_job in keys]
    topic = topics.profiles_in
    starts = await admin.beginning_offsets([(topic, each) for each in sorted(set(chain(*places)))])

    def opened(numbers: Sequence[int]) -> list[list[Stretch]]:
        of: dict[int, Partition] = {}
        for each in sorted({place for number in numbers for place in places[number]}):
            start = starts[topic, each]
            of[each] = Partition(each, start > 0, reader.read(BulkRead(topic, each, start)))
        return [[of[place].stretch(keys[number]) for place in places[number]] for number in numbers]

    folds: list[Made] = []
    for number, job in enumerate(jobs):
        if job.pieces.names:
            await feed(job.pieces, *opened([number]))
        folds.append(job.begin(not any(starts[topic, place] for place in places[number])))
    found: list[Read[Made] | Exception] = []
    for fold, stretches in zip(folds, opened(range(len(jobs))), strict=True):
        try:
            await feed(fold, stretches)
            begins = [since for each in stretches if (since := each.partition.since_ms) is not None]
            found.append(Read(fold, max(begins, default=None)))
        except ReadError:
            raise
        except Exception as error:
            found.append(error)
        for each in stretches:
            each.leave()
    return found


async def feed(taker: Taker, stretches: Sequence[Stretch]) -> None:
    """Let it take all records: of those that stand first, the one that came first."""
    count = 0
    while True:
        heads = [(stretch, await stretch.head()) for stretch in stretches]
        ready = [(order(*head), stretch.partition.number, stretch, head) for stretch, head in heads if head is not None]
        if not ready:
            return
        _, partition, stretch, (record, body) = min(ready, key=lambda each: each[:2])
        stretch.pop()
        taker.take(partition, record, body)
        count += 1
        if count % BREATHE_RECORDS == 0:
            await asyncio.sleep(0)
