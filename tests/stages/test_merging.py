"""Merges between partitions: the survivor is the fold over everybody's events, whatever overtakes what."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import orjson
import pytest

from app.definitions.model import Catalog, Definition, Subscription
from app.ids import profile_id
from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import PROFILE
from app.stages import envelope, merging
from app.stages.compute import ComputeStage
from app.stages.overlay import Overlay
from app.stages.records import Work
from app.topics import Topics, partition_of
from tests.simulation.log import Log
from tests.simulation.store import SimStore

TOPICS = Topics()
START_MS = 1_767_225_600_000
HOUR_MS = 3_600_000
QUERIES = {
    "orders": "event('Order').count()",
    "recent": "event('Order').within(6 hours).count()",
    "spent": "event('Order').within(1 day).sum(property('price'))",
    "first_sku": "event('Order').first(property('sku'))",
    "last_sku": "event('Order').last(property('sku'))",
    "skus": "event('Order').within(2 days).unique(property('sku'))",
    "session": "event('View').expires_after(2 hours).count()",
    "followed": "event('View').where(event('Order').within(parent: 3 hours).count() >= 1).count()",
}
CATALOG = Catalog(
    definitions=(
        *(Definition(key=key, kind="trait", query=query) for key, query in QUERIES.items()),
        Definition(key="buyer", kind="audience", query="event('Order').within(12 hours).count() >= 2"),
        Definition(key="idle", kind="audience", query="NOT event('View').within(5 hours).count() >= 1"),
    ),
    subscriptions=(
        Subscription(definition="buyer", kind="audience", destination="crm"),
        Subscription(definition="orders", kind="trait", destination="crm"),
        Subscription(definition="orders", kind="trait", destination="quiet", resend_on_new_identifier=False),
    ),
)


def name(number: int) -> str:
    return profile_id("user_id", f"u{number}")


class Cluster:
    """Compute stages of several partitions over one log. Batches are dropped and computed again now and then."""

    def __init__(self, partitions: int, seed: int = 0, *, drops: float = 0.0, catalog: Catalog = CATALOG) -> None:
        self.random = Random(seed)
        self.partitions = partitions
        self.drops = drops
        self.log = Log()
        self.stores = [SimStore() for _ in range(partitions)]
        self.overlays = [Overlay(store) for store in self.stores]
        self.stages = [
            ComputeStage(TOPICS, p, partitions, overlay, epoch="00ff00ff", cache_bytes=2_000)
            for p, overlay in enumerate(self.overlays)
        ]
        self.read = [0] * partitions
        for p in range(partitions):
            self.log.append(TOPICS.profiles_in, p, None, envelope.catalog(catalog), START_MS)

    def send(self, profile: str, value: bytes) -> None:
        key = profile.encode()
        self.log.append(TOPICS.profiles_in, partition_of(key, self.partitions), key, value, START_MS)

    def event(self, profile: str, at_ms: int, id_: str, **fields: Any) -> None:
        message = {"type": "track", **fields}
        ids = [("user_id", profile), ("email", f"{profile}@example.org")]
        self.send(profile, envelope.event(at_ms, id_, "track", message["event"], ids, orjson.dumps(message)))

    def merge(self, winner: str, loser: str, at_ms: int) -> None:
        self.send(winner, envelope.absorb(at_ms, "m:link", loser))
        self.send(loser, envelope.merge(at_ms, "m:link", winner))

    def waiting(self) -> list[int]:
        return [p for p in range(self.partitions) if self.read[p] < self.log.end(TOPICS.profiles_in, p)]

    def step(self, partition: int, size: int | None = None) -> None:
        size = size if size is not None else self.random.randint(1, 6)
        records = self.log.read(TOPICS.profiles_in, partition, self.read[partition], size)
        while self.random.random() < self.drops:
            self._send(self.stages[partition].process(records))
            self.overlays[partition].clear()
            self.stages[partition].reload()
        work = self.stages[partition].process(records)
        self._send(work)
        if work.changelog:
            self.stores[partition].write(work.writes, 0)
            self.overlays[partition].pop()
        self.read[partition] = records[-1].offset + 1

    def _send(self, work: Work) -> None:
        for (topic, partition), records in work.outputs.items():
            for key, value, headers in records:
                self.log.append(topic, partition, key, value, START_MS, headers)

    def run(self) -> None:
        while waiting := self.waiting():
            self.step(self.random.choice(waiting))

    def profile(self, profile: str) -> Profile:
        key = profile.encode()
        store = self.stores[partition_of(key, self.partitions)]
        held = store.get(PROFILE + key)
        assert held is not None
        return codec.decode(held, lambda names: store.get_many([b"c|" + key + each for each in names]))

    def changes(self) -> list[dict[str, Any]]:
        return [orjson.loads(record.value or b"") for record in self.log.all_of(TOPICS.changes)]

    def sent(self, destination: str) -> dict[str, dict[str, Any]]:
        """Id → payload record, repeats left out."""
        records = self.log.all_of(TOPICS.destination(destination))
        return {body["id"]: body for body in (orjson.loads(record.value or b"") for record in records)}


class Story:
    """Random events of a few people who turn out to be one another, and copies that go astray on the way."""

    cluster: Cluster

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.cluster = self._made(seed)
        self.people = [name(number) for number in range(random.randint(2, 5))]
        self.winner: dict[str, str] = {}
        self.told: list[tuple[int, str, dict[str, Any]]] = []
        """(at, id, fields) of every message."""
        self.at_ms = START_MS
        merges = len(self.people) - 1
        for number in range(40):
            self.at_ms += random.choice((1, 60_000, HOUR_MS, 3 * HOUR_MS))
            self._happen(f"m:{number}")
            if merges and random.random() < 0.15:
                merges -= 1
                self._merge()
            for _ in range(random.randint(0, 4)):
                self._step()
        for _ in range(merges):
            self._merge()
        self.rest()

    def _made(self, seed: int) -> Cluster:
        return Cluster(3, seed, drops=0.15)

    def _step(self) -> None:
        if waiting := self.cluster.waiting():
            self.cluster.step(self.random.choice(waiting))

    def rest(self) -> None:
        self.cluster.run()

    def root(self, profile: str) -> str:
        while profile in self.winner:
            profile = self.winner[profile]
        return profile

    def _happen(self, id_: str) -> None:
        random = self.random
        fields = {
            "event": random.choice(("Order", "View")),
            "properties": {"price": random.choice((5, 7.5, "12")), "sku": random.choice("abc")},
        }
        self.told.append((self.at_ms, id_, fields))
        person = self.last = random.choice(self.people)
        # A cache that has not heard of a merge sends to whoever it knew.
        self.cluster.event(random.choice((person, self.root(person))), self.at_ms, id_, **fields)
        if self.root(person) != person and random.random() < 0.3:
            self.cluster.event(self.root(person), self.at_ms, id_, **fields)
        if random.random() < 0.1:
            self.cluster.send(self.root(person), envelope.timer(self.at_ms))

    def _merge(self) -> None:
        winner, loser = self.random.sample([each for each in self.people if each not in self.winner], 2)
        at_ms, id_, fields = self.told[-1]
        is_losers = self.root(self.last) == loser
        if is_losers and self.random.random() < 0.5:
            self.cluster.event(loser, at_ms, id_, **fields)
        self.winner[loser] = winner
        self.cluster.merge(winner, loser, self.at_ms)
        if is_losers:
            # Read again by somebody who has heard of the merge: it must not count here, too.
            self.cluster.event(winner, at_ms, id_, **fields)
        if self.random.random() < 0.3:
            self.cluster.merge(winner, loser, self.at_ms)  # the linker was killed, and says it again


def as_one(told: list[tuple[int, str, dict[str, Any]]], until_ms: int) -> dict[str, Any]:
    """What one profile with all these events has emitted."""
    alone = Cluster(1)
    for at_ms, id_, fields in told:
        alone.event(name(0), at_ms, id_, **fields)
    alone.send(name(0), envelope.timer(until_ms))
    alone.run()
    return alone.profile(name(0)).emitted


@pytest.mark.parametrize("seed", range(250))
def test_survivor_is_the_fold_over_everybodys_events(seed: int) -> None:
    story = Story(seed)
    told = story.told
    if story.cluster.log.all_of(TOPICS.events_dead):
        raise AssertionError(story.cluster.log.all_of(TOPICS.events_dead)[0])
    (survivor,) = {story.root(person) for person in story.people}
    until_ms = story.at_ms + 10 * 24 * HOUR_MS
    story.cluster.send(survivor, envelope.timer(until_ms))
    story.cluster.run()
    held = story.cluster.profile(survivor)
    wanted = as_one(told, until_ms)
    blank: dict[str, Any] = {"buyer": False, "idle": False}
    # A trait that somebody had before the merge is emitted again when it is 0; alone it may never have been there.
    emitted = {key: value or None for key, value in {**blank, **held.emitted}.items()}
    assert {key: value for key, value in emitted.items() if value is not None} == {
        key: value for key, value in {**blank, **wanted}.items() if value
    }
    assert held.merging is not None
    assert sorted(held.merging.absorbed) == sorted(person for person in story.people if person != survivor)
    assert (held.merging.waiting, held.merging.parked, held.merging.pieces) == ([], [], {})


@pytest.mark.parametrize("seed", range(40))
def test_whoever_is_part_of_another_is_a_redirect_and_emits_nothing(seed: int) -> None:
    story = Story(seed)
    cluster = story.cluster
    (survivor,) = {story.root(person) for person in story.people}
    before = Counter(change["profile"] for change in cluster.changes())
    orders = cluster.profile(survivor).emitted.get("orders", 0)
    for number, (loser, winner) in enumerate(story.winner.items()):
        held = cluster.profile(loser)
        assert held.merging is not None
        assert held.merging.redirect == winner
        assert (held.cells, held.traits, held.identifiers, held.emitted, held.armed_due) == ({}, {}, [], {}, 0)
        cluster.event(loser, story.at_ms + 1, f"late:{number}", event="Order")
    cluster.run()
    after = Counter(change["profile"] for change in cluster.changes())
    assert set(after - before) == {survivor}
    assert cluster.profile(survivor).emitted["orders"] == orders + len(story.winner)


def test_an_event_of_the_winner_waits_for_the_state_of_the_loser() -> None:
    cluster = Cluster(1)
    winner, loser = name(0), name(1)
    cluster.event(loser, START_MS, "m:1", event="Order")
    cluster.event(winner, START_MS, "m:2", event="Order")
    cluster.send(winner, envelope.absorb(START_MS + 5, "m:3", loser))
    cluster.event(winner, START_MS + 5, "m:3", event="Order")
    cluster.run()
    held = cluster.profile(winner)
    assert held.merging is not None
    assert [each.offset for each in held.merging.parked] == [4]
    assert held.emitted["orders"] == 1
    cluster.send(loser, envelope.merge(START_MS + 5, "m:3", winner))
    cluster.run()
    assert cluster.profile(winner).emitted["orders"] == 3
    values = [change["value"] for change in cluster.changes() if change["key"] == "orders"]
    assert values == [1, 1, 2, 3], "the state of the two together, then the event that linked them"
    assert [change["origin"] for change in cluster.changes() if change["key"] == "orders"] == [
        "live", "live", "merge", "live",
    ]  # fmt: skip


def test_identifiers_that_are_new_to_the_winner_are_told_what_it_has() -> None:
    cluster = Cluster(2)
    winner, loser = name(0), name(1)
    cluster.event(winner, START_MS, "m:1", event="Order")
    cluster.event(winner, START_MS, "m:2", event="Order")
    cluster.event(loser, START_MS, "m:3", event="View")
    cluster.run()
    before = cluster.sent("crm").keys()
    quiet = len(cluster.sent("quiet"))
    cluster.merge(winner, loser, START_MS + 5)
    cluster.run()
    new = [body for id_, body in cluster.sent("crm").items() if id_ not in before]
    # The four pairs of two user ids and two e-mails, without the one that the winner was known by.
    assert {(body["computation"]["key"], body["origin"]) for body in new} == {("buyer", "merge"), ("orders", "merge")}
    told = [(body["payload"]["userId"], body["payload"]["traits"]["email"]) for body in new]
    assert len(told) == 6
    assert (winner, f"{winner}@example.org") not in told
    assert {body["profile"] for body in new} == {winner}
    assert len(cluster.sent("quiet")) == quiet, "its connection has it switched off"


def test_a_new_identifier_is_told_though_nothing_has_changed() -> None:
    cluster = Cluster(1)
    person = name(0)
    cluster.event(person, START_MS, "m:1", event="Order")
    cluster.run()
    before = cluster.sent("crm").keys()
    message = {"type": "identify", "traits": {}}
    ids = [("user_id", person), ("email", "second@example.org")]
    cluster.send(person, envelope.event(START_MS + 1, "m:2", "identify", None, ids, orjson.dumps(message)))
    cluster.run()
    (new,) = [body for id_, body in cluster.sent("crm").items() if id_ not in before]
    assert (new["origin"], new["computation"]["key"]) == ("identifier", "orders")
    assert new["payload"]["traits"] == {"orders": 1, "email": "second@example.org"}
    assert [change["key"] for change in cluster.changes()].count("orders") == 1, "no change: only payloads repeat it"


def test_those_whom_the_loser_had_told_of_an_entry_hear_of_the_exit() -> None:
    cluster = Cluster(2)
    winner, loser = name(0), name(1)
    cluster.event(winner, START_MS, "m:1", event="View")
    for number in range(2):
        cluster.event(loser, START_MS, f"m:{number + 2}", event="Order")
    cluster.run()
    assert cluster.profile(loser).emitted["buyer"] is True
    # By the time of the merge the loser's orders are out of the window; its timer has not been heard of.
    before = cluster.sent("crm").keys()
    cluster.merge(winner, loser, START_MS + 13 * HOUR_MS)
    cluster.run()
    new = [body for id_, body in cluster.sent("crm").items() if id_ not in before]
    exits = [body["payload"] for body in new if body["computation"]["key"] == "buyer"]
    assert exits
    assert {payload["traits"]["buyer"] for payload in exits} == {False}
    assert loser in {payload["userId"] for payload in exits}


def test_a_large_state_travels_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "PIECE_BYTES", 16)
    story = Story(3)
    imports = [
        record
        for record in story.cluster.log.all_of(TOPICS.profiles_in)
        if record.value and b'"kind":"import"' in record.value
    ]
    assert len(imports) > 5 * len(story.winner)
    (survivor,) = {story.root(person) for person in story.people}
    until_ms = story.at_ms + 10 * 24 * HOUR_MS
    story.cluster.send(survivor, envelope.timer(until_ms))
    story.cluster.run()
    wanted = as_one(story.told, until_ms)
    assert {key: story.cluster.profile(survivor).emitted.get(key) for key in ("orders", "first_sku")} == {
        key: wanted.get(key) for key in ("orders", "first_sku")
    }


def test_an_import_that_cannot_be_read_is_a_dead_letter() -> None:
    cluster = Cluster(1)
    for value in envelope.imports(START_MS, "m:1", name(1), [b"no zlib"], {}):
        cluster.send(name(0), value)
    cluster.event(name(0), START_MS, "m:2", event="Order")
    cluster.run()
    (dead,) = cluster.log.all_of(TOPICS.events_dead)
    assert b"an import that cannot be read" in (dead.value or b"")
    assert cluster.profile(name(0)).emitted["orders"] == 1


def test_who_takes_in_and_is_taken_in_within_one_batch_passes_on_what_has_been_seen() -> None:
    cluster, (first, second, third) = Cluster(1), (name(number) for number in range(3))
    cluster.event(first, START_MS, "m:1", event="Order")
    cluster.merge(second, first, START_MS)
    cluster.step(0, size=100)
    cluster.merge(third, second, START_MS)
    cluster.step(0, size=100)  # the import of the first, and the second's merge
    cluster.event(third, START_MS, "m:1", event="Order")  # a copy that comes late
    cluster.run()
    assert cluster.profile(third).emitted["orders"] == 1
