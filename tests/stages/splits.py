"""A cluster in which profiles are split: the driver's part, on the log of lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import orjson

from app.definitions.model import Catalog
from app.identity.rules import Identifier
from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import PROFILE, SPLIT, StateReader, part_key
from app.stages import envelope, splitting
from app.stages.anew import order, wanted
from app.stages.envelope import Part
from app.stages.meta import CATALOG_KEY
from app.stages.pieces import Pieces
from app.stages.recount import Asking, Recount, Recounted
from app.stages.refold import Refold
from app.stages.splitting import family
from app.stages.under_way import UnderWay
from app.stream.refolding import LogFold, Taker
from app.stream.splits import Message, messages, of_recount
from app.topics import partition_of
from tests.simulation.log import Log
from tests.stages.test_merging import START_MS, TOPICS, Cluster


class Parted(Cluster):
    """Messages have the identifiers that they are given."""

    def run(self) -> None:
        steps = 0
        while waiting := self.waiting():
            self.step(self.random.choice(waiting))
            steps += 1
            assert steps < 2_000, "records go round for ever"

    def tell(self, profile: str, at_ms: int, id_: str, ids: list[Identifier], **fields: Any) -> None:
        message = {"type": "track", **fields}
        self.send(profile, envelope.event(at_ms, id_, "track", message["event"], ids, orjson.dumps(message)))

    def part(self, profile: str, into: str, identifier: Identifier, at_ms: int, split_id: str) -> None:
        """As the linker says it."""
        self.send(profile, envelope.part(at_ms, split_id, identifier, into, int(split_id[4:], 16)))
        self.send(into, envelope.absorb(at_ms, split_id, splitting.taken_of(split_id)))

    def under_way(self) -> list[UnderWay]:
        """What the partitions' states say; those that came back after their end are told by the profile."""
        return [each for store in self.stores for each in under_way(store)]

    def carry_out(self, asked: UnderWay, *, cut: int = 0, halfway: bool = False) -> LogFold | Recounted:
        """As the driver does it; halfway is what it does that is killed between the two.

        Args:
            cut: How many of each partition's first records the log no longer has.
        """
        store = self.stores[partition_of(asked.profile.encode(), self.partitions)]
        made, told = carried_out(self.log, self.partitions, asked, store, cut=cut)
        for number, (to, values) in enumerate(told):
            if not (halfway and number):
                for value in values:
                    self.send(to, value)
        return made

    def settle(self) -> None:
        """To rest, with all that is folded anew on the way."""
        self.run()
        while asked := self.under_way():
            self.carry_out(asked[0])
            self.run()

    def split(self, asked: UnderWay, *, cut: int = 0, halfway: bool = False) -> LogFold:
        """The same of a split."""
        made = self.carry_out(asked, cut=cut, halfway=halfway)
        assert isinstance(made, LogFold)
        return made


def under_way(store: StateReader) -> Iterator[UnderWay]:
    """What is to be folded anew, as a partition's state says."""
    for key in store.keys(SPLIT):
        value = store.get(key)
        assert value is not None
        asked = UnderWay.decode(value)
        held = _held(store, asked.profile).merging
        if held is not None and asked.waits_for in held.waiting:
            yield asked


def carried_out(
    log: Log, partitions: int, asked: UnderWay, store: StateReader, *, cut: int = 0
) -> tuple[LogFold | Recounted, list[Message]]:
    """What comes of it, and what is told to whom, from a log without each partition's first records."""
    catalog = store.get(CATALOG_KEY)
    assert catalog is not None
    held, current = _held(store, asked.profile), msgspec.json.decode(catalog, type=Catalog)
    if isinstance(asked.asked, Part):
        made = folded(log, partitions, asked, held, current, cut=cut)
        return made, messages(asked, made)
    asking = Asking.of(asked, held, current)
    own = partition_of(asked.profile.encode(), partitions)
    pieces = asking.pieces(own)
    _feed(pieces, log, partitions, asking.names(), cut)
    fold = Recount(TOPICS.profiles_in, own, asking, is_whole=not cut, pieces=pieces)
    _feed(fold, log, partitions, asking.names(), cut)
    recounted = fold.done()
    return recounted, of_recount(asked, recounted)


def _held(store: StateReader, profile: str) -> Profile:
    key = profile.encode()
    data = store.get(PROFILE + key)
    if data is None:
        return Profile()
    return codec.decode(data, lambda names: store.get_many([part_key(key, each) for each in names]))


def folded(log: Log, partitions: int, split: UnderWay, held: Profile, catalog: Catalog, *, cut: int = 0) -> LogFold:
    """What comes of a profile whose state is held, from a log without each partition's first records."""
    profile, part = split.profile, split.asked
    assert isinstance(part, Part)
    names = family(profile, held.merging)
    own = partition_of(profile.encode(), partitions)
    pieces = Pieces(held.merging, own, split.offset)
    _feed(pieces, log, partitions, names, cut)
    fold = Refold(
        TOPICS.profiles_in, own, names, part.ids[0], held, catalog,
        until=split.offset, is_whole=not cut, since=part.since, pieces=pieces,
    )  # fmt: skip
    _feed(fold, log, partitions, names, cut)
    return LogFold(fold.done(max(part.at, held.clock)), None)


def _feed(taker: Taker, log: Log, partitions: int, names: Iterable[str], cut: int) -> None:
    keys = frozenset(each.encode() for each in names)
    stretches: list[list[tuple[int, int, int, Any, envelope.Body]]] = []
    for partition in sorted({partition_of(key, partitions) for key in keys}):
        records = log.partitions[TOPICS.profiles_in, partition][cut:]
        found = [(record, wanted(record)) for record in records if record.key is None or record.key in keys]
        stretches.append(
            [(order(record, body), partition, at, record, body) for at, (record, body) in enumerate(found) if body]
        )
    while heads := [stretch[0] for stretch in stretches if stretch]:
        _, partition, _, record, body = min(heads, key=lambda each: each[:2])
        next(stretch for stretch in stretches if stretch and stretch[0][3] is record).pop(0)
        taker.take(partition, record, body)


def alone(
    events: list[tuple[int, str, dict[str, Any]]], until_ms: int, identifier: Identifier = ("user_id", "alone")
) -> dict[str, Any]:
    """What one profile with just these events, and one identifier, has emitted."""
    cluster = Parted(1)
    for at_ms, id_, fields in events:
        cluster.tell("prf_alone", at_ms, id_, [identifier], **fields)
    cluster.send("prf_alone", envelope.timer(until_ms))
    cluster.run()
    return cluster.profile("prf_alone").emitted


def said(emitted: dict[str, Any]) -> dict[str, Any]:
    """What there is to be told: 0, nothing and False are the same to whoever never heard of it."""
    return {key: value for key, value in emitted.items() if value}


__all__ = ["START_MS", "TOPICS", "Parted", "alone", "carried_out", "folded", "said", "under_way"]
