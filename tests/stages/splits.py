"""A cluster in which profiles are split: the driver's part, on the log of lists."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from app.definitions.model import Catalog
from app.identity.rules import Identifier
from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import PROFILE, SPLIT
from app.stages import envelope, splitting
from app.stages.meta import CATALOG_KEY
from app.stages.pieces import Pieces
from app.stages.refold import Refold, order, wanted
from app.stages.splitting import UnderWay, family
from app.stream.refolding import LogFold, Taker
from app.stream.splits import messages
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
        found: list[UnderWay] = []
        for store in self.stores:
            for key in store.keys(SPLIT):
                value = store.get(key)
                assert value is not None
                split = UnderWay.decode(value)
                held = self.profile(split.profile).merging
                assert held is not None
                if splitting.left_of(split.id) in held.waiting:
                    found.append(split)
        return found

    def carry_out(self, split: UnderWay, *, cut: int = 0, halfway: bool = False) -> LogFold:
        """As the driver does it; halfway is what it does that is killed between the two.

        Args:
            cut: How many of each partition's first records the log no longer has.
        """
        profile = split.profile
        store = self.stores[partition_of(profile.encode(), self.partitions)]
        data, catalog = store.get(PROFILE + profile.encode()), store.get(CATALOG_KEY)
        assert data is not None
        assert catalog is not None
        held = codec.decode(data, lambda names: store.get_many([b"c|" + profile.encode() + each for each in names]))
        current = msgspec.json.decode(catalog, type=Catalog)
        made = folded(self.log, self.partitions, split, held, current, cut=cut)
        for number, (to, values) in enumerate(messages(split, made)):
            if not (halfway and number):
                for value in values:
                    self.send(to, value)
        return made


def folded(log: Log, partitions: int, split: UnderWay, held: Profile, catalog: Catalog, *, cut: int = 0) -> LogFold:
    """What comes of a profile whose state is held, from a log without each partition's first records."""
    profile = split.profile
    names = frozenset(family(profile, held.merging))
    keys = frozenset(each.encode() for each in names)
    read = sorted({partition_of(key, partitions) for key in keys})
    own = partition_of(profile.encode(), partitions)
    pieces = Pieces(held.merging, own, split.offset)
    _feed(pieces, log, read, keys, cut)
    fold = Refold(
        TOPICS.profiles_in, own, names, split.identifier, held, catalog,
        until=split.offset, is_whole=not cut, since=split.part.since, pieces=pieces,
    )  # fmt: skip
    _feed(fold, log, read, keys, cut)
    return LogFold(fold.done(max(split.part.at, held.clock)), None)


def _feed(taker: Taker, log: Log, read: list[int], keys: frozenset[bytes], cut: int) -> None:
    stretches: list[list[tuple[int, int, int, Any, envelope.Body]]] = []
    for partition in read:
        records = log.partitions[TOPICS.profiles_in, partition][cut:]
        found = [(record, wanted(record, keys)) for record in records]
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


__all__ = ["START_MS", "TOPICS", "Parted", "alone", "folded", "said"]
