"""Drives the splits of this worker's partitions to their end: folds each profile anew and appends what came of it.

The partition's state says which are under way, so a worker that takes over begins those anew. The two profiles take
each result once, whoever sends it how often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

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
from app.stages.merging import pack
from app.stages.meta import CATALOG_KEY
from app.stages.splitting import UnderWay
from app.stream.firing import Serving
from app.stream.refolding import LogFold, refold
from app.stream.store import PartitionStore
from app.stream.ticking import for_ever
from app.topics import JSON_HEADERS, Topics, partition_of
from app.transport.fence import Fence

log = logs.get("splits")

TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class _Task:
    """A split under way, with what the partition's state has for it at that moment."""

    partition: int
    split: UnderWay
    held: Profile
    catalog: Catalog


class Splits:
    """The splits under way in the partitions of `profiles.in` that this worker serves, one after the other.

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
        """Partition, split → the lane in whose time both parts of it were sent."""

    async def run(self) -> None:
        """For ever. What goes wrong makes a split late, no more."""
        failed = "a split could not be carried out and is tried again"
        await for_ever(lambda: asyncio.sleep(TICK_S), self.tick, log, failed)

    async def tick(self) -> None:
        """Carry out what is under way."""
        tasks: list[_Task] = []
        for partition, served in self._serving().items():
            try:
                tasks += self._under_way(partition, served)
            except CorruptProfile as error:
                served.lane.damaged(error)
        for task in tasks:
            await self._carry_out(task)

    def _under_way(self, partition: int, served: Serving) -> list[_Task]:
        """Those of a partition that have not been sent; the store is looked into here and nowhere else."""
        found: list[_Task] = []
        store = served.store
        for key in list(store.keys(SPLIT)):
            place = partition, key[len(SPLIT) :].decode()
            value = store.get(key)
            if value is None or self._sent.get(place) is served.lane:
                continue
            split = UnderWay.decode(value)
            held = _profile(store, split.profile)
            if held.merging is None or splitting.left_of(split.id) not in held.merging.waiting:
                self._sent[place] = served.lane  # over; the key came back with a restore
                continue
            catalog = store.get(CATALOG_KEY)
            self._sent.pop(place, None)
            found.append(
                _Task(partition, split, held, msgspec.json.decode(catalog, type=Catalog) if catalog else Catalog())
            )
        return found

    async def _carry_out(self, task: _Task) -> None:
        split, part = task.split, task.split.part
        log.info("a profile is folded anew", split=split.id, profile=split.profile, into=part.into)
        found = await refold(
            self._admin, self._reader, self._topics, self._partitions, split.profile, task.held, split.identifier,
            task.catalog, until=split.offset, at_ms=part.at, since=part.since,
        )  # fmt: skip
        served = self._serving().get(task.partition)
        if served is None:
            return  # another worker's by now
        # First what was taken out: the profile stops waiting, and asking for it, only once that is there.
        for profile, values in messages(split, found):
            self._fence.check(task.partition)
            key = profile.encode()
            place = self._topics.profiles_in, partition_of(key, self._partitions)
            await self._producer.send({place: [(key, value, JSON_HEADERS) for value in values]})
            self._failpoint("mid_split")
        self._sent[task.partition, split.id] = served.lane
        folded = found.folded
        log.info(
            "a profile was split", split=split.id, profile=split.profile, into=part.into,
            events_left=folded.left_events, events_taken=folded.taken_events, kept_cells=len(folded.kept),
            log_since_ms=found.since_ms,
        )  # fmt: skip


def messages(split: UnderWay, found: LogFold) -> list[tuple[str, list[bytes]]]:
    """(profile, values of `profiles.in`): what was taken out, for the new profile; what is left, for the other."""
    folded, part = found.folded, split.part

    def said(
        name: str, profile: Profile, seen: Mapping[int, bytes], which: Literal["left", "taken"], accounts: Sequence[str]
    ) -> list[bytes]:
        pieces = pack(profile)
        # What is folded again may be another: by this pieces of two attempts are told apart.
        digest = blake2b(b"".join((*pieces, *seen.values())), digest_size=8).hexdigest()
        return envelope.imports(part.at, f"{split.id}@{digest}", name, pieces, seen, which, part.into, accounts)

    taken = said(splitting.taken_of(split.id), folded.taken, folded.taken_seen, "taken", ())
    left = said(splitting.left_of(split.id), folded.left, folded.left_seen, "left", folded.taken_accounts)
    return [(split.part.into, taken), (split.profile, left)]


def _profile(store: PartitionStore, profile: str) -> Profile:
    key = profile.encode()
    data = store.get(PROFILE + key)
    if data is None:
        return Profile()
    return codec.decode(data, lambda names: store.get_many([part_key(key, name) for name in names]))
