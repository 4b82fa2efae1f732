"""Has new connections told what there is: the next portion of a partition's profiles, as soon as a vendor has room.

The partition's state says what is under way, so whoever takes over goes on. Of a destination only so many payloads wait
in its topic as its lane can see past, to the live ones behind them; lists and topics that nobody sends from take all. A
portion that is asked for twice is told once. One whose record was read and has moved nothing, for it is a dead letter,
is asked for again, a few times, and then said to stand still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from app.activation.destinations import DESTINATIONS
from app.definitions.model import Catalog
from app.kafka.admin import AdminError, Place
from app.kafka.producer import Producer
from app.observability import logs
from app.profiles.codec import CorruptProfile
from app.profiles.store import META
from app.stages.envelope import Resync, encode
from app.stages.meta import CATALOG_KEY, Meta
from app.stages.resyncing import AHEAD_MAX
from app.stream.firing import Serving
from app.stream.lane import Lane
from app.stream.ticking import for_ever
from app.topics import JSON_HEADERS, Topics, delivery_group
from app.transport.fence import Fence
from app.transport.notes import unsettled

log = logs.get("resyncs")

TICK_S = 0.2
ASKED_MAX = 3
"""How often in all a portion is asked for that comes to nothing; then whoever takes over the partition tries anew."""
LOOK_S = 1.0
"""Before a destination is looked at again that had no room: its senders commit about as often."""


class Offsets(Protocol):
    """Of the broker; see `Admin`."""

    async def positions(self, group: str, places: Sequence[Place]) -> Mapping[Place, tuple[int | None, str]]: ...
    async def beginning_offsets(self, places: Sequence[Place]) -> Mapping[Place, int]: ...
    async def end_offsets(self, places: Sequence[Place]) -> Mapping[Place, int]: ...


@dataclass(frozen=True, slots=True)
class _Portion:
    """What is next in one partition for one new connection, or several of one destination."""

    partition: int
    lane: Lane
    id: str
    after: str
    paced: frozenset[str]
    """The destinations that senders deliver to."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A portion that is in the log."""

    portion: _Portion
    offset: int
    times: int
    """How often it was asked for."""


class Resyncs:
    """Those of the partitions of one topic that this worker serves.

    Args:
        source: `profiles.in` or `accounts.in`.
        serving: Its partitions, by number.
        now_s: Gives monotonic seconds.
        stuck: Told, with each tick, how many portions stand still.
    """

    def __init__(
        self, source: str, topics: Topics, partitions: int, offsets: Offsets, producer: Producer, fence: Fence,
        *, serving: Callable[[], Mapping[int, Serving]], now_s: Callable[[], float],
        stuck: Callable[[int], object],
    ) -> None:  # fmt: skip
        self._source = source
        self._topics = topics
        self._offsets = offsets
        self._producer = producer
        self._fence = fence
        self._serving = serving
        self._now_s = now_s
        self._stuck = stuck
        self._share = max(1, AHEAD_MAX // partitions)
        """Payloads that may wait in a partition of a destination's topic."""
        self._asked: dict[tuple[int, str], _Asked] = {}
        """Partition, resync → the portion that is next, if it has been asked for."""
        self._stands_still: set[tuple[int, str]] = set()
        """What has been asked for often enough."""
        self._look_s: dict[str, float] = {}
        """Destination that had no room → when it is looked at again."""
        self._sent_from: tuple[bytes, frozenset[str]] = b"", frozenset()
        """The catalogue that was decoded last, and the destinations of it that senders deliver to."""

    async def run(self) -> None:
        """For ever. What goes wrong makes a resync late, no more."""
        failed = "new connections could not be told and are tried again"
        await for_ever(lambda: asyncio.sleep(TICK_S), self.tick, log, failed)

    async def tick(self) -> None:
        """Ask for every portion that there is room for."""
        portions: dict[tuple[int, str], _Portion] = {}
        applied: dict[int, int] = {}
        for partition, served in self._serving().items():
            try:
                held = served.store.get(META)
                meta = Meta.decode(held) if held is not None else Meta()
                portions |= {(partition, portion.id): portion for portion in self._next(partition, served, meta)}
                applied[partition] = meta.src_next
            except CorruptProfile as error:
                served.lane.damaged(error)
        self._asked = {place: asked for place, asked in self._asked.items() if portions.get(place) == asked.portion}
        again = self._again(applied)
        wanted = {place: portion for place, portion in portions.items() if place in again or place not in self._asked}
        room = await self._room(list(wanted.values()))
        for place, portion in wanted.items():
            payloads = min((room[name].get(portion.partition, 0) for name in portion.paced), default=0)
            if portion.paced and payloads <= self._share // 2:
                continue  # soon there is room for more than a few
            await self._ask(place, portion, payloads)

    def _again(self, applied: Mapping[int, int]) -> set[tuple[int, str]]:
        """What is to be asked for once more: its record was read and has moved nothing."""
        lost = {place for place, asked in self._asked.items() if applied[asked.portion.partition] > asked.offset}
        stuck = {place for place in lost if self._asked[place].times >= ASKED_MAX}
        for partition, id_ in stuck - self._stands_still:
            offset = self._asked[partition, id_].offset
            log.error("a resync stands still: see the dead letter of its record", topic=self._source,
                      partition=partition, offset=offset, resync=id_)  # fmt: skip
        self._stands_still = stuck
        self._stuck(len(stuck))
        return lost - stuck

    def _next(self, partition: int, served: Serving, meta: Meta) -> Iterator[_Portion]:
        """The oldest resync of each destination: each has its room to itself."""
        sent = self._sent(served.store.get(CATALOG_KEY) or b"") if meta.resyncs else frozenset()
        busy: set[str] = set()
        for id_, resyncing in meta.resyncs.items():
            names = {name for name, _ in resyncing.connections}
            if busy.isdisjoint(names):
                yield _Portion(partition, served.lane, id_, resyncing.after, frozenset(names & sent))
            busy |= names

    def _sent(self, catalog: bytes) -> frozenset[str]:
        if catalog and catalog != self._sent_from[0]:
            types = msgspec.json.decode(catalog, type=Catalog).destination_types
            sends = {name for name, type_ in types if type_ in DESTINATIONS and DESTINATIONS[type_].sends}
            self._sent_from = catalog, frozenset(sends)
        return self._sent_from[1] if catalog else frozenset()

    async def _room(self, wanted: Sequence[_Portion]) -> dict[str, dict[int, int]]:
        """Destination → partition → how many payloads more may wait there; nothing where it is not known."""
        room: dict[str, dict[int, int]] = {}
        for name in sorted({name for portion in wanted for name in portion.paced}):
            room[name] = {}
            if self._now_s() < self._look_s.get(name, 0.0):
                continue
            partitions = [portion.partition for portion in wanted if name in portion.paced]
            try:
                room[name] = await self._room_at(name, partitions)
            except AdminError as error:
                log.warning("how far a destination is could not be read", destination=name, error=str(error))
            if min(room[name].values(), default=0) <= self._share // 2:
                self._look_s[name] = self._now_s() + LOOK_S
        return room

    async def _room_at(self, name: str, partitions: Sequence[int]) -> dict[int, int]:
        places = [(self._topics.destination(name), partition) for partition in partitions]
        positions = await self._offsets.positions(delivery_group(self._topics), places)
        starts = await self._offsets.beginning_offsets(places)
        ends = await self._offsets.end_offsets(places)
        room: dict[int, int] = {}
        for place in places:
            position, note = positions[place]
            room[place[1]] = self._share - unsettled(max(position or 0, starts[place]), ends[place], note)
        return room

    async def _ask(self, place: tuple[int, str], portion: _Portion, payloads: int) -> None:
        self._fence.check(portion.partition)
        value = encode(Resync(portion.id, portion.after, payloads if portion.paced else 0))
        _, offset = await self._producer.append(self._source, portion.partition, [(None, value)], JSON_HEADERS)
        before = self._asked.get(place)
        self._asked[place] = _Asked(portion, offset, 1 if before is None else before.times + 1)
