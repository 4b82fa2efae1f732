"""Drives what is folded anew for this worker's partitions to its end: splits, and recounts of merges.

The partition's state says what is under way, so a worker that takes over begins it anew. Profiles take each result
once, whoever sends it how often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from app.definitions.model import Catalog
from app.kafka.admin import Admin
from app.kafka.consumer import BulkReader
from app.kafka.producer import Producer
from app.observability import logs
from app.profiles import codec
from app.profiles.codec import CorruptProfile
from app.profiles.state import Profile
from app.profiles.store import PROFILE, SPLIT, part_key
from app.stages import envelope, splitting
from app.stages.anew import Anew
from app.stages.envelope import Fold as What
from app.stages.envelope import Part
from app.stages.merging import pack
from app.stages.meta import CATALOG_KEY
from app.stages.recount import Asking, Recount, Recounted
from app.stages.refold import Refold
from app.stages.under_way import UnderWay
from app.stream.firing import Serving
from app.stream.refolding import Job, LogFold, Read, of_split, read_for
from app.stream.store import PartitionStore
from app.stream.ticking import for_ever
from app.topics import JSON_HEADERS, Topics, partition_of
from app.transport.fence import Fence

log = logs.get("splits")

TICK_S = 0.5
AGAIN_S = 30.0
"""Before something is tried again that has failed by itself: the log is long."""
TOGETHER_MAX = 50
"""For how many the log is read at once: what waits for its turn among their records is in memory."""

Message = tuple[str, list[bytes]]
"""A profile, and values of `profiles.in` for it."""


@dataclass(frozen=True, slots=True)
class _Task:
    """Something under way, with what the partition's state has for it at that moment."""

    partition: int
    under_way: UnderWay
    held: Profile
    catalog: Catalog

    def job(self, topic: str) -> Job[Refold] | Job[Recount]:
        """What has to be read for it."""
        under_way, held, asked = self.under_way, self.held, self.under_way.asked
        if isinstance(asked, Part):
            return of_split(
                topic, self.partition, under_way.profile, held, asked.ids[0], self.catalog,
                until=under_way.offset, since=asked.since,
            )  # fmt: skip
        asking = Asking.of(under_way, held, self.catalog)
        pieces = asking.pieces(self.partition)
        return Job(
            asking.names(), pieces,
            lambda is_whole: Recount(topic, self.partition, asking, is_whole=is_whole, pieces=pieces),
        )  # fmt: skip

    def messages(self, read: Read[Anew]) -> list[Message]:
        """What came of it, and a line of the log of that."""
        under_way, asked, since_ms = self.under_way, self.under_way.asked, read.since_ms
        if isinstance(asked, Part):
            assert isinstance(read.fold, Refold)
            folded = read.fold.done(max(asked.at, self.held.clock))
            log.info(
                "a profile was split", split=under_way.id, profile=under_way.profile, into=asked.into,
                events_left=folded.left_events, events_taken=folded.taken_events, kept_cells=len(folded.kept),
                log_since_ms=since_ms,
            )  # fmt: skip
            return messages(under_way, LogFold(folded, since_ms))
        assert isinstance(read.fold, Recount)
        recounted = read.fold.done()
        log.info(
            "two profiles were counted anew", profile=under_way.profile, loser=asked.loser,
            events_dropped=recounted.dropped, cells=len(recounted.both.cells), log_since_ms=since_ms,
        )  # fmt: skip
        return of_recount(under_way, recounted)


class Splits:
    """What is under way in the partitions of `profiles.in` that this worker serves: the log is read for all of it at
    once.

    Args:
        serving: Those partitions, by number.
    """

    def __init__(
        self, topics: Topics, partitions: int, admin: Admin, reader: BulkReader, producer: Producer, fence: Fence,
        *, serving: Callable[[], Mapping[int, Serving]], failpoint: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._topics = topics
        self._partitions = partitions
        self._admin = admin
        self._reader = reader
        self._producer = producer
        self._fence = fence
        self._serving = serving
        self._failpoint = failpoint
        self._sent: dict[tuple[int, str], object] = {}
        """Partition, what is under way → the lane in whose time all of it was sent."""
        self._again_s: dict[tuple[int, str], float] = {}
        """The same → not before when it is tried again."""

    async def run(self) -> None:
        """For ever. What goes wrong makes it late, no more."""
        failed = "what is to be folded anew could not be and is tried again"
        await for_ever(lambda: asyncio.sleep(TICK_S), self.tick, log, failed)

    async def tick(self) -> None:
        """Carry out what is under way."""
        tasks: list[_Task] = []
        for partition, served in self._serving().items():
            try:
                tasks += self._under_way(partition, served)
            except CorruptProfile as error:
                served.lane.damaged(error)
        for at in range(0, len(tasks), TOGETHER_MAX):
            await self._carry_out(tasks[at : at + TOGETHER_MAX])

    def _under_way(self, partition: int, served: Serving) -> list[_Task]:
        """What of a partition has not been sent; the store is looked into here and nowhere else."""
        found: list[_Task] = []
        store, now_s = served.store, asyncio.get_running_loop().time()
        for key in list(store.keys(SPLIT)):
            place = partition, key[len(SPLIT) :].decode()
            value = store.get(key)
            if value is None or self._sent.get(place) is served.lane or now_s < self._again_s.get(place, now_s):
                continue
            under_way = UnderWay.decode(value)
            held = _profile(store, under_way.profile)
            if held.merging is None or under_way.waits_for not in held.merging.waiting:
                self._sent[place] = served.lane  # over; the key came back with a restore
                continue
            catalog = store.get(CATALOG_KEY)
            self._sent.pop(place, None)
            self._again_s.pop(place, None)
            found.append(
                _Task(partition, under_way, held, msgspec.json.decode(catalog, type=Catalog) if catalog else Catalog())
            )
        return found

    async def _carry_out(self, tasks: Sequence[_Task]) -> None:
        for task in tasks:
            log.info("folded anew from the log", id=task.under_way.id, profile=task.under_way.profile)
        jobs = [task.job(self._topics.profiles_in) for task in tasks]
        found = await read_for(self._admin, self._reader, self._topics, self._partitions, jobs)
        for task, read in zip(tasks, found, strict=True):
            try:
                if isinstance(read, Exception):
                    raise read
                told = task.messages(read)
            except Exception as error:  # the others have nothing to do with it
                log.error("could not be folded anew and is tried again", id=task.under_way.id, error=repr(error))
                again_s = asyncio.get_running_loop().time() + AGAIN_S
                self._again_s[task.partition, task.under_way.id] = again_s
                continue
            served = self._serving().get(task.partition)
            if served is None:
                continue  # another worker's by now
            # First what was taken out: the profile stops waiting, and asking for it, only once that is there.
            for profile, values in told:
                self._fence.check(task.partition)
                key = profile.encode()
                place = self._topics.profiles_in, partition_of(key, self._partitions)
                await self._producer.send({place: [(key, value, JSON_HEADERS) for value in values]})
                self._failpoint("mid_split")
            self._sent[task.partition, task.under_way.id] = served.lane


def messages(split: UnderWay, found: LogFold) -> list[Message]:
    """Of a split: what was taken out, for the new profile; what is left, for the other."""
    folded, part = found.folded, split.asked
    assert isinstance(part, Part)
    taken = _said(
        split, splitting.taken_of(split.id), folded.taken, folded.taken_seen, "taken", part.into,
    )  # fmt: skip
    left = _said(
        split, split.waits_for, folded.left, folded.left_seen, "left", part.into, folded.taken_accounts,
    )  # fmt: skip
    return [(part.into, taken), (split.profile, left)]


def of_recount(recount: UnderWay, recounted: Recounted) -> list[Message]:
    """Of a recount: the cells of both, for the winner."""
    assert not isinstance(recount.asked, Part)
    both = _said(recount, recount.id, recounted.both, recounted.seen, "both", recount.asked.loser)
    return [(recount.profile, both)]


def _said(
    under_way: UnderWay, name: str, profile: Profile, seen: Mapping[int, bytes], what: What, into: str,
    accounts: Sequence[str] = (),
) -> list[bytes]:  # fmt: skip
    pieces = pack(profile)
    # What is folded again may be another: by this pieces of two attempts are told apart.
    digest = blake2b(b"".join((*pieces, *seen.values())), digest_size=8).hexdigest()
    id_ = f"{under_way.id}@{digest}"
    return envelope.imports(under_way.asked.at, id_, name, pieces, seen, what, into, accounts)


def _profile(store: PartitionStore, profile: str) -> Profile:
    key = profile.encode()
    data = store.get(PROFILE + key)
    if data is None:
        return Profile()
    return codec.decode(data, lambda names: store.get_many([part_key(key, name) for name in names]))
