"""Profiles that have counted messages of one id, and become one: each id counts once, the first to arrive."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from app.ids import profile_id
from app.profiles.store import SPLIT
from app.stages import envelope
from app.stages.recount import Recounted
from app.topics import partition_of
from tests.stages.splits import START_MS, TOPICS, Parted, said
from tests.stages.test_merging import name


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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


def test_what_the_loser_had_parked_counts_when_its_turn_comes() -> None:
    cluster = met(ANN)
    cluster.event(CLEO, START_MS + 4, "m:cleo", event="View")
    cluster.send(BOB, envelope.absorb(START_MS + 5, "m:link", CLEO))
    cluster.event(BOB, START_MS + 6, "m:waits", event="Order", properties={"price": 3, "sku": "w"})
    cluster.merge(ANN, BOB, START_MS + 7)
    finish(cluster)
    cluster.send(CLEO, envelope.merge(START_MS + 5, "m:link", BOB))
    finish(cluster)
    emitted = cluster.profile(ANN).emitted
    assert (emitted["orders"], emitted["spent"]) == (3, 9)


def test_what_waits_at_the_winner_counts_when_its_turn_comes() -> None:
    cluster = met(BOB)
    cluster.merge(ANN, BOB, START_MS + 5)
    cluster.event(ANN, START_MS + 6, "m:waits", event="Order", properties={"price": 3, "sku": "w"})
    finish(cluster)
    emitted = cluster.profile(ANN).emitted
    assert (emitted["orders"], emitted["spent"]) == (3, 9)


def test_whoever_the_loser_waits_for_is_let_through_where_a_split_waits_behind_the_recount() -> None:
    cluster = met(ANN)
    cluster.event(CLEO, START_MS + 4, "m:cleo", event="Order")
    cluster.send(BOB, envelope.absorb(START_MS + 5, "m:link", CLEO))
    cluster.merge(ANN, BOB, START_MS + 6)
    cluster.part(ANN, profile_id("\0split", "ann"), ("user_id", ANN), START_MS + 7, f"spl_{1:024x}")
    cluster.run()
    cluster.send(CLEO, envelope.merge(START_MS + 5, "m:link", BOB))
    finish(cluster)
    assert not waits(cluster, ANN)
    orders = [cluster.profile(each).emitted.get("orders") or 0 for each in (ANN, profile_id("\0split", "ann"))]
    assert orders == [1, 2]
