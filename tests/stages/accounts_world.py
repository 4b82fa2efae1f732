"""Identity, users and accounts over lists: the stages as they are, several partitions, any order that Kafka allows.

A batch is computed, dropped and computed again now and then, with any beginning of its outputs sent twice; states are
read again from their bytes; timers come in the order of time, or whenever chance has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from app.definitions.model import Catalog
from app.events.model import event_name
from app.identity.identifiers import Identifiers
from app.identity.rules import IdentityRules
from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import part_key
from app.stages import envelope, links
from app.stages.compute import ComputeStage
from app.stages.link import LinkStage
from app.stages.overlay import Overlay
from app.stages.records import Work
from app.topics import Collection, Topics, partition_of
from tests.simulation.log import Log
from tests.simulation.store import SimStore

TOPICS = Topics()
COLLECTIONS: tuple[Collection, Collection] = ("users", "accounts")


@dataclass
class Place:
    """One partition of one collection."""

    collection: Collection
    partition: int
    store: SimStore
    overlay: Overlay
    stage: ComputeStage
    read: int = 0

    def profiles(self) -> Iterator[tuple[str, Profile]]:
        for key, data in self.store.profiles():
            yield key.decode(), codec.decode(data, lambda names, key=key: self._parts(key, names))  # type: ignore[misc]

    def _parts(self, key: bytes, names: Any) -> list[bytes | None]:
        return self.store.get_many([part_key(key, each) for each in names])


@dataclass
class AccountsWorld:
    """All of it, at an instant.

    Args:
        drops: How likely a batch is computed once more.
    """

    catalog: Catalog
    partitions: int
    random: Random
    drops: float = 0.0
    log: Log = field(default_factory=Log)
    now_ms: int = 0
    sent: int = 0
    places: list[Place] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.places = [self._place(each, p) for each in COLLECTIONS for p in range(self.partitions)]
        self.identity = Overlay(SimStore())
        self.link = LinkStage(TOPICS, self.partitions, self.identity, epoch="0123456789abcdef")
        self.identifiers = Identifiers(IdentityRules())
        self.change(self.catalog)

    def _place(self, collection: Collection, partition: int) -> Place:
        store = SimStore()
        overlay = Overlay(store)
        return Place(collection, partition, store, overlay, self._stage(collection, partition, overlay))

    def _stage(self, collection: Collection, partition: int, overlay: Overlay) -> ComputeStage:
        return ComputeStage(
            TOPICS, partition, self.partitions, overlay, epoch="00ff00ff", cache_bytes=2_000, collection=collection
        )

    # what comes in

    def change(self, catalog: Catalog) -> None:
        """Accounts hear of definitions before users do: no user may say what its account does not understand."""
        for place in reversed(self.places):
            topic = TOPICS.source_of(place.collection)
            self.log.append(topic, place.partition, None, envelope.catalog(catalog), self.now_ms)

    def message(self, at_ms: int, message: dict[str, Any]) -> None:
        """`link` decides all, so the order is that in which messages are given here."""
        self.now_ms = max(self.now_ms, at_ms)
        found = self.identifiers.of(message)
        previous = self.identifiers.previous(message)
        if not found and previous is None:
            return
        kind, id_ = message["type"], f"m:{message['messageId']}"
        self.sent += 1
        name, raw = event_name(message), orjson.dumps(message)
        self.decide(at_ms, links.link(0, self.sent - 1, at_ms, id_, kind, name, found, previous, raw))

    def decide(self, at_ms: int, value: bytes) -> None:
        """A request of `link`."""
        offset = self.log.append(TOPICS.identity_links, 0, None, value, at_ms)
        work = self.link.process(self.log.read(TOPICS.identity_links, 0, offset, 1))
        self.identity.pop()
        self._write_identity(work)
        self._send(work)

    def _write_identity(self, work: Work) -> None:
        store = self.identity._store
        assert isinstance(store, SimStore)
        store.write(work.writes, 0)

    def send(self, collection: Collection, key: str, value: bytes) -> None:
        encoded = key.encode()
        partition = partition_of(encoded, self.partitions)
        self.log.append(TOPICS.source_of(collection), partition, encoded, value, self.now_ms)

    # what happens

    def waiting(self) -> list[Place]:
        return [
            each for each in self.places if each.read < self.log.end(TOPICS.source_of(each.collection), each.partition)
        ]

    def run(self) -> None:
        """To rest, in any order."""
        while waiting := self.waiting():
            self.step(self.random.choice(waiting))

    def rest(self) -> None:
        """To rest, with what accounts have waited with for this very instant."""
        self.pass_time(self.now_ms)

    def step(self, place: Place, size: int | None = None) -> None:
        size = size if size is not None else self.random.choice((1, 1, 2, 5, 20))
        topic = TOPICS.source_of(place.collection)
        records = self.log.read(topic, place.partition, place.read, size)
        while self.random.random() < self.drops:
            self._send(place.stage.process(records), whole=False)
            place.overlay.clear()
            if self.random.random() < 0.5:
                place.stage = self._stage(place.collection, place.partition, place.overlay)
            else:
                place.stage.reload()
            records = records[: self.random.randint(1, len(records))]
        work = place.stage.process(records)
        self._send(work)
        if work.changelog:
            place.store.write(work.writes, 0)
            place.overlay.pop()
        place.read = records[-1].offset + 1

    def _send(self, work: Work, *, whole: bool = True) -> None:
        for (topic, partition), records in work.outputs.items():
            until = len(records) if whole else self.random.randint(0, len(records))
            for key, value, headers in records[:until]:
                self.log.append(topic, partition, key, value, self.now_ms, headers)

    # time

    def fire(self) -> None:
        """Now and then: a timer that is due, of a user; or of an account, as soon as all users have passed its instant,
        and it has heard of that."""
        users = [each for each in self.places if each.collection == "users"]
        found = [(due_ms, key) for place in users for due_ms, key in place.store.timers_until(self.now_ms, 1)]
        if found and self.random.random() < 0.5:
            due_ms, key = self.random.choice(found)
            self.send("users", key.decode(), envelope.timer(due_ms))
            return
        passed_ms = min(self._passed_ms(each) for each in users)
        waiting = self.waiting()
        for place in self.places:
            if place.collection == "accounts" and place not in waiting:
                for _, key in place.store.timers_until(passed_ms, 2):
                    self.send("accounts", key.decode(), envelope.timer(passed_ms))

    def _passed_ms(self, place: Place) -> int:
        """Up to when all that concerns a partition of users is applied."""
        unread = self.log.partitions[TOPICS.profiles_in, place.partition][place.read :]
        due = place.store.timers_until(self.now_ms, 1)
        return min([self.now_ms, *(each.timestamp - 1 for each in unread), *(due_ms - 1 for due_ms, _ in due)])

    def due(self) -> tuple[int, Place, bytes] | None:
        """The first timer of all; of one instant those of users are first."""
        found = [
            (due_ms, place.collection == "accounts", number, place, key)
            for number, place in enumerate(self.places)
            for due_ms, key in place.store.timers_until(1 << 60, 1)
        ]
        if not found:
            return None
        due_ms, _, _, place, key = min(found, key=lambda each: each[:3])
        return due_ms, place, key

    def pass_time(self, until_ms: int) -> None:
        """Every timer up to an instant, in the order of time, and what comes of each before the next."""
        self.run()
        while (found := self.due()) is not None and found[0] <= until_ms:
            due_ms, place, key = found
            self.now_ms = max(self.now_ms, due_ms)
            self.send(place.collection, key.decode(), envelope.timer(due_ms))
            self.run()
        self.now_ms = max(self.now_ms, until_ms)

    # what came of it

    def profiles(self, collection: Collection) -> dict[str, Profile]:
        """Living ones, by id."""
        found = (pair for place in self.places if place.collection == collection for pair in place.profiles())
        return {key: held for key, held in found if held.merging is None or not held.merging.redirect}

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        """Values of records, repeats left out; a repeat has to be what it repeats."""
        bodies: dict[bytes, bytes] = {}
        for record in self.log.all_of(topic):
            id_ = next(value for name, value in record.headers if name == "message-id")
            assert bodies.setdefault(id_, record.value or b"") == record.value, f"one id, two bodies: {record.value!r}"
        return [orjson.loads(body) for body in bodies.values()]
