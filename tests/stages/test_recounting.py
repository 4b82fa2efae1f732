"""Profiles that have counted messages of one id, and become one: each id counts once, the first to arrive.

HEADWATER_STORIES=1000 pytest tests/stages/test_recounting.py; one seed again: HEADWATER_SEED=17 HEADWATER_STORIES=4
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson
import pytest

from app.ids import profile_id
from app.profiles.store import SPLIT
from app.stages import envelope, merging
from app.stages.recount import Recounted
from app.topics import partition_of
from tests.stages.splits import START_MS, TOPICS, Parted, said
from tests.stages.test_merging import HOUR_MS, as_one, name

STORIES = int(os.environ.get("HEADWATER_STORIES", "60"))
FIRST_SEED = int(os.environ.get("HEADWATER_SEED", "0"))
DAY_MS = 24 * HOUR_MS
BLANK = {"buyer": False, "idle": False}
Told = tuple[int, str, dict[str, Any]]


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Story:
    """People who turn out to be one another. Some of their messages come once more under the same id, as another's:
    the client has learnt meanwhile who it is, or guesses again."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.cluster = Parted(3, seed, drops=0.15)
        self.people = [name(number) for number in range(random.randint(2, 5))]
        self.winner: dict[str, str] = {}
        self.told: list[Told] = []
        self.at_ms = START_MS
        self.recounts = 0
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

    def rest(self) -> None:
        self.cluster.run()
        while under_way := self.cluster.under_way():
            self._carry_out(self.random.choice(under_way))
            self.cluster.run()

    def root(self, profile: str) -> str:
        while profile in self.winner:
            profile = self.winner[profile]
        return profile

    def _step(self) -> None:
        if waiting := self.cluster.waiting():
            self.cluster.step(self.random.choice(waiting))
        if self.random.random() < 0.3 and (under_way := self.cluster.under_way()):
            self._carry_out(self.random.choice(under_way))

    def _carry_out(self, asked: Any) -> None:
        made = self.cluster.carry_out(asked)
        assert isinstance(made, Recounted)
        self.recounts += 1

    def _happen(self, id_: str) -> None:
        random = self.random
        recent = [each for each in self.told if each[0] > self.at_ms - DAY_MS // 2]
        if recent and random.random() < 0.3:
            _, id_, fields = random.choice(recent)
        else:
            fields = {
                "event": random.choice(("Order", "View")), "timestamp": iso(self.at_ms),
                "properties": {"price": random.choice((5, 7.5, "12")), "sku": random.choice("abc")},
            }  # fmt: skip
        self.told.append((self.at_ms, id_, fields))
        person = random.choice(self.people)
        # A cache that has not heard of a merge sends to whoever it knew.
        self.cluster.event(random.choice((person, self.root(person))), self.at_ms, id_, **fields)
        if random.random() < 0.1:
            self.cluster.send(self.root(person), envelope.timer(self.at_ms))

    def _merge(self) -> None:
        winner, loser = self.random.sample([each for each in self.people if each not in self.winner], 2)
        self.winner[loser] = winner
        self.cluster.merge(winner, loser, self.at_ms)
        if self.random.random() < 0.3:
            self.cluster.merge(winner, loser, self.at_ms)  # the linker was killed, and says it again


def check(seed: int) -> int:
    """That the survivor is the fold over everybody's messages, each id once; gives how many recounts there were."""
    story = Story(seed)
    cluster = story.cluster
    assert not cluster.log.all_of(TOPICS.events_dead), cluster.log.all_of(TOPICS.events_dead)[0]
    (survivor,) = {story.root(person) for person in story.people}
    until_ms = story.at_ms + 10 * DAY_MS
    cluster.send(survivor, envelope.timer(until_ms))
    cluster.run()
    held = cluster.profile(survivor)
    found, wanted = said(BLANK | held.emitted), said(BLANK | as_one(story.told, until_ms))
    assert found == wanted, f"seed {seed}: {found} and not {wanted}"
    assert held.merging is not None
    assert sorted(held.merging.absorbed) == sorted(person for person in story.people if person != survivor)
    assert (held.merging.waiting, held.merging.parked, held.merging.pieces) == ([], [], {})
    assert all(not list(store.keys(SPLIT)) for store in cluster.stores)
    return story.recounts


@pytest.mark.parametrize("block", range(4))
def test_survivor_is_the_fold_over_each_id_once(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if block == 3:
        monkeypatch.setattr(merging, "PIECE_BYTES", 60)  # so that imports come in pieces
    count = max(1, STORIES // 4)
    recounts = sum(check(seed) for seed in range(FIRST_SEED + count * block, FIRST_SEED + count * (block + 1)))
    assert recounts > count // 2


# ── one at a time ─────────────────────────────────────────────────────────────────────────────────────────────────

FIRST = {"event": "Order", "timestamp": iso(START_MS), "properties": {"price": 5, "sku": "first"}}
OTHER = {"event": "Order", "timestamp": iso(START_MS - 1), "properties": {"price": 70, "sku": "other"}}
ANN, BOB, CLEO = (name(number) for number in range(3))


def met(first: str, partitions: int = 2) -> Parted:
    """Ann and Bob have each counted a message of the same id, one of them before the other; and two more."""
    cluster = Parted(partitions)
    second = BOB if first == ANN else ANN
    cluster.event(first, START_MS, "m:twin", **FIRST)
    cluster.event(second, START_MS + 1, "m:twin", **OTHER)
    cluster.event(ANN, START_MS + 2, "m:ann", event="Order", properties={"price": 1, "sku": "a"})
    cluster.event(BOB, START_MS + 3, "m:bob", event="View")
    cluster.run()
    return cluster


def finish(cluster: Parted, **how: Any) -> list[Recounted]:
    """To rest; gives what was recounted."""
    made: list[Recounted] = []
    cluster.run()
    while under_way := cluster.under_way():
        found = cluster.carry_out(under_way[0], **how)
        made += [found] if isinstance(found, Recounted) else []
        cluster.run()
    return made


def waits(cluster: Parted, profile: str) -> bool:
    held = cluster.profile(profile).merging
    return held is not None and bool(held.waiting)


@pytest.mark.parametrize("first", [ANN, BOB])
def test_the_first_to_arrive_counts_whosever_it_was(first: str) -> None:
    cluster = met(first)
    cluster.merge(ANN, BOB, START_MS + 5)
    (made,) = finish(cluster)
    assert made.dropped == 1
    emitted = cluster.profile(ANN).emitted
    assert (emitted["orders"], emitted["spent"], emitted["first_sku"]) == (2, 6, "first")
    assert emitted["skus"] == ["a", "first"]


def test_nobody_sees_the_wrong_count_meanwhile() -> None:
    cluster = met(ANN, 1)
    before = len(cluster.changes())
    cluster.merge(ANN, BOB, START_MS + 5)
    cluster.event(ANN, START_MS + 6, "m:later", event="Order", properties={"price": 1, "sku": "z"})
    cluster.run()
    assert waits(cluster, ANN)
    assert len(cluster.changes()) == before
    finish(cluster)
    after = cluster.changes()[before:]
    orders = [(each["value"], each["origin"]) for each in after if each["key"] == "orders"]
    assert orders == [(3, "live")], "two before, two with Bob's, and one more"
    assert not waits(cluster, ANN)


def test_identifiers_that_are_new_are_told_what_the_two_have_together() -> None:
    cluster = met(ANN)
    before = cluster.sent("crm").keys()
    cluster.merge(ANN, BOB, START_MS + 5)
    finish(cluster)
    new = [body for id_, body in cluster.sent("crm").items() if id_ not in before]
    assert {(body["computation"]["key"], body["origin"]) for body in new} == {("orders", "merge"), ("buyer", "merge")}
    assert {body["payload"]["traits"].get("orders", 2) for body in new} == {2}
    assert BOB in {body["payload"]["userId"] for body in new}


@pytest.mark.parametrize("kinds", [("identify", "track"), ("track", "identify")])
def test_a_call_that_is_no_event_counts_beside_an_event_of_its_id(kinds: tuple[str, str]) -> None:
    """As both did before; what it writes is written by whoever said it last."""
    cluster = Parted(2)
    for person, kind in zip((ANN, BOB), kinds, strict=True):
        if kind == "track":
            cluster.event(person, START_MS, "m:twin", event="Order")
        else:
            message = orjson.dumps({"type": "identify", "traits": {"plan": "gold"}})
            cluster.send(person, envelope.event(START_MS, "m:twin", kind, None, [("user_id", person)], message))
    cluster.merge(ANN, BOB, START_MS + 5)
    (made,) = finish(cluster)
    assert made.dropped == 0
    held = cluster.profile(ANN)
    assert held.emitted["orders"] == 1
    assert held.traits["plan"][0] == "gold"


def test_without_an_id_in_common_nothing_is_read() -> None:
    cluster = Parted(2)
    cluster.event(ANN, START_MS, "m:1", event="Order")
    cluster.event(BOB, START_MS, "m:2", event="Order")
    cluster.merge(ANN, BOB, START_MS + 5)
    cluster.event(ANN, START_MS + 6, "m:3", event="Order")
    cluster.event(BOB, START_MS + 6, "m:3", event="Order")  # read again, by who had not heard
    cluster.run()
    assert not cluster.under_way()
    assert cluster.profile(ANN).emitted["orders"] == 3


@pytest.mark.parametrize("is_late", [True, False])
def test_of_three_each_has_its_turn(is_late: bool) -> None:
    cluster = met(ANN)
    cluster.event(CLEO, START_MS + 4, "m:twin", **OTHER)
    cluster.event(CLEO, START_MS + 4, "m:bob", event="View")
    cluster.merge(ANN, BOB, START_MS + 5)
    if is_late:
        cluster.run()
    cluster.merge(ANN, CLEO, START_MS + 6)
    assert [each.dropped for each in finish(cluster)] == [1, 2]
    assert said(cluster.profile(ANN).emitted)["orders"] == 2
    assert not waits(cluster, ANN)


@pytest.mark.parametrize("is_sent", [True, False])
def test_a_winner_that_becomes_part_of_another_meanwhile_leaves_it_to_that(is_sent: bool) -> None:
    cluster = met(ANN)
    cluster.event(CLEO, START_MS + 4, "m:ann", event="Order", properties={"price": 9, "sku": "c"})
    cluster.merge(ANN, BOB, START_MS + 5)
    cluster.run()
    (asked,) = cluster.under_way()
    if is_sent:
        cluster.carry_out(asked)  # and comes behind the merge
        place = partition_of(ANN.encode(), 2)
        merge = envelope.merge(START_MS + 6, "m:cleo", CLEO)
        records = cluster.log.partitions[TOPICS.profiles_in, place]
        result = records.pop()
        cluster.send(ANN, merge)
        cluster.log.append(TOPICS.profiles_in, place, result.key, result.value, START_MS)
        cluster.send(CLEO, envelope.absorb(START_MS + 6, "m:cleo", ANN))
    else:
        cluster.merge(CLEO, ANN, START_MS + 6)
    assert [each.dropped for each in finish(cluster)] == [1, 1]
    emitted = cluster.profile(CLEO).emitted
    assert (emitted["orders"], emitted["spent"]) == (2, 6), "Cleo's second came later than Ann's"
    assert not waits(cluster, CLEO)
    assert all(not list(store.keys(SPLIT)) for store in cluster.stores)


def test_who_is_erased_meanwhile_is_gone_when_it_is_over() -> None:
    cluster = met(ANN)
    cluster.merge(ANN, BOB, START_MS + 5)
    cluster.run()
    cluster.send(ANN, envelope.erase(START_MS + 6, "reg_1"))
    cluster.send(BOB, envelope.erase(START_MS + 6, "reg_1"))
    cluster.event(ANN, START_MS + 7, "m:late", event="Order")
    finish(cluster)
    assert cluster.profile(ANN).erased
    told = {each["key"]: each["value"] for each in cluster.changes() if each["profile"] == ANN}
    assert told["orders"] is None
    assert all(not list(store.keys(SPLIT)) for store in cluster.stores)


def test_a_split_that_is_asked_for_meanwhile_comes_after_it() -> None:
    cluster = met(BOB)
    into = profile_id("\0split", "bob")
    cluster.merge(ANN, BOB, START_MS + 5)
    cluster.run()
    cluster.part(ANN, into, ("user_id", BOB), START_MS + 6, f"spl_{1:024x}")
    cluster.run()
    assert [each.waits_for[:4] for each in cluster.under_way()] == ["rec_"]
    finish(cluster)
    orders = [cluster.profile(each).emitted.get("orders") or 0 for each in (ANN, into)]
    assert orders == [1, 1], "the twin that counted was Bob's"


@pytest.mark.parametrize("copies", [2, 3])
def test_a_result_that_is_sent_twice_is_taken_once(copies: int) -> None:
    cluster = met(ANN)
    cluster.merge(ANN, BOB, START_MS + 5)
    cluster.run()
    (asked,) = cluster.under_way()
    for _ in range(copies):
        cluster.carry_out(asked)
    cluster.run()
    assert cluster.profile(ANN).emitted["orders"] == 2


def test_what_the_log_no_longer_has_stays() -> None:
    """Before the twins there was one more, which the log has lost."""
    cluster = Parted(1)
    cluster.event(BOB, START_MS - 9, "m:old", event="Order", properties={"price": 100, "sku": "old"})
    cluster.event(ANN, START_MS, "m:twin", **FIRST)
    cluster.event(BOB, START_MS + 1, "m:twin", **OTHER)
    cluster.merge(ANN, BOB, START_MS + 5)
    (made,) = finish(cluster, cut=2)
    assert made.dropped == 1
    emitted = cluster.profile(ANN).emitted
    assert (emitted["orders"], emitted["spent"], emitted["first_sku"]) == (2, 105, "old")


def test_a_twin_that_the_log_no_longer_has_is_not_known() -> None:
    cluster = met(ANN, 1)
    cluster.merge(ANN, BOB, START_MS + 5)
    (made,) = finish(cluster, cut=2)
    assert made.dropped == 0
    assert cluster.profile(ANN).emitted["orders"] == 3


def test_what_a_split_had_taken_out_and_has_come_back_is_not_taken_apart() -> None:
    """Of the two messages it is the other that counts no more."""
    cluster = Parted(2)
    tablet, into = ("device", "tablet"), profile_id("\0split", "tablet")
    cluster.tell(ANN, START_MS, "m:1", [("user_id", "ann")], event="Order")
    cluster.tell(ANN, START_MS + 2, "m:twin", [tablet], event="Order", properties={"price": 2})
    cluster.tell(BOB, START_MS + 1, "m:twin", [("user_id", "bob")], event="Order", properties={"price": 3})
    cluster.part(ANN, into, tablet, START_MS + 4, f"spl_{1:024x}")
    finish(cluster)
    cluster.merge(ANN, into, START_MS + 5)
    finish(cluster)
    assert cluster.profile(ANN).emitted["orders"] == 2
    cluster.merge(ANN, BOB, START_MS + 6)
    (made,) = finish(cluster)
    assert made.dropped == 1
    emitted = cluster.profile(ANN).emitted
    assert (emitted["orders"], emitted["spent"]) == (2, 2)


def test_what_was_erased_is_not_folded_again() -> None:
    """The tablet leaves, is erased, and comes back as a new one; then two become one that have counted one id."""
    cluster = Parted(2)
    tablet, into = ("device", "tablet"), profile_id("\0split", "tablet")
    cluster.tell(ANN, START_MS, "m:1", [("user_id", "ann")], event="Order")
    cluster.tell(ANN, START_MS + 1, "m:erased", [tablet], event="Order")
    cluster.part(ANN, into, tablet, START_MS + 4, f"spl_{1:024x}")
    finish(cluster)
    cluster.send(into, envelope.erase(START_MS + 5, "reg_1"))
    cluster.send(ANN, envelope.part(START_MS + 6, "m:back", tablet, ANN, 2))
    cluster.tell(ANN, START_MS + 6, "m:back", [tablet], event="Order")
    cluster.tell(BOB, START_MS + 7, "m:twin", [("user_id", "bob")], event="Order")
    cluster.tell(ANN, START_MS + 8, "m:twin", [tablet], event="Order")
    cluster.merge(ANN, BOB, START_MS + 9)
    (made,) = finish(cluster)
    assert made.dropped == 1
    assert cluster.profile(ANN).emitted["orders"] == 3
