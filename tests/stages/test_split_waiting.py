"""What is on its way, or waits, while profiles are split: it is folded, or counted when its turn comes, never both."""

from __future__ import annotations

import pytest

from app.ids import profile_id
from app.stages import envelope
from app.topics import partition_of
from tests.stages.splits import START_MS, Parted
from tests.stages.test_splitting import HOUR_MS, TABLET, split_id, two


def test_what_was_parked_goes_and_comes_back_with_whom_it_went_to_and_counts_once() -> None:
    cluster, person, into = two()
    of_ann = profile_id("\0split", "ann")
    cluster.part(person, of_ann, ("user_id", "ann"), START_MS + 10, split_id(1))
    cluster.run()
    (first,) = cluster.under_way()
    cluster.part(person, into, TABLET, START_MS + 11, split_id(2))
    cluster.tell(person, START_MS + 12, "m:parked", [TABLET], event="Order")
    cluster.run()
    cluster.carry_out(first)
    cluster.run()
    (second,) = cluster.under_way()
    # It is in the profile's state as seen since long, and on its way to the other, when that is the profile's again.
    cluster.merge(person, into, START_MS + 13)
    cluster.run()
    cluster.carry_out(second)
    cluster.run()
    assert cluster.profile(of_ann).emitted["orders"] == 3
    assert cluster.profile(person).emitted["orders"] == 3
    held = cluster.profile(person).merging
    assert held is not None
    assert held.passed == {}


def test_events_that_had_waited_for_the_definitions_are_folded_by_them() -> None:
    cluster = Parted(2)
    person, into = profile_id("user_id", "ann"), profile_id("\0split", "1")
    one = next(
        each for number in range(9)
        if partition_of((each := profile_id("user_id", f"u{number}")).encode(), 2) < partition_of(person.encode(), 2)
    )  # fmt: skip
    for number, profile in enumerate((person, one, one)):  # received before there were any definitions
        cluster.tell(profile, START_MS - HOUR_MS + number, f"m:{number}", [("user_id", profile)], event="Order")
    cluster.tell(person, START_MS + 5, "m:tablet", [TABLET], event="Order")
    cluster.merge(person, one, START_MS + 6)
    cluster.run()
    assert cluster.profile(person).emitted["orders"] == 4
    cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
    cluster.run()
    cluster.carry_out(cluster.under_way()[0])
    cluster.run()
    assert (cluster.profile(person).emitted["orders"], cluster.profile(into).emitted["orders"]) == (3, 1)


def test_what_waits_where_somebody_came_back_is_not_folded_but_counted_when_its_turn_comes() -> None:
    cluster, person, into = two()
    ann, of_phone = ("user_id", "ann"), profile_id("\0split", "phone")
    cluster.tell(person, START_MS + 8, "m:both", [TABLET, ann], event="Order")
    cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
    cluster.tell(into, START_MS + 11, "m:waits", [TABLET], event="Order")
    cluster.run()
    (first,) = cluster.under_way()
    cluster.send(person, envelope.absorb(START_MS + 12, "m:link", into))
    cluster.part(person, of_phone, ("device", "phone"), START_MS + 13, split_id(2))
    cluster.run()
    cluster.send(into, envelope.merge(START_MS + 12, "m:link", person))
    cluster.run()
    cluster.carry_out(first)
    cluster.run()
    (second,) = cluster.under_way()
    cluster.carry_out(second)
    cluster.run()
    assert cluster.profile(of_phone).emitted["orders"] == 3
    assert cluster.profile(person).emitted["orders"] == 4


@pytest.mark.parametrize("is_heard", [True, False])
def test_what_goes_by_way_of_who_has_come_after_a_split_is_not_folded(is_heard: bool) -> None:
    cluster, person, into = two()
    ann, here = ("user_id", "ann"), partition_of(person.encode(), 2)
    names = (profile_id("user_id", f"cat{number}") for number in range(9))
    cat = next(each for each in names if partition_of(each.encode(), 2) != here)
    of_cat, watch = profile_id("\0split", "cat"), ("device", "watch")
    cluster.tell(cat, START_MS, "m:cat", [watch], event="View")
    cluster.tell(person, START_MS + 8, "m:both", [TABLET, ann], event="Order")
    cluster.merge(person, cat, START_MS + 9)
    cluster.run()
    cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
    cluster.part(person, of_cat, watch, START_MS + 11, split_id(2))
    cluster.run()
    cluster.tell(cat, START_MS + 12, "m:late", [watch], event="Order")
    if is_heard:
        cluster.run()
    cluster.carry_out(cluster.under_way()[0])
    cluster.run()
    made = cluster.carry_out(cluster.under_way()[0])
    cluster.run()
    assert made.folded.taken_events == 1, "the view alone was the profile's"
    orders = [cluster.profile(each).emitted.get("orders", 0) for each in (person, into, of_cat)]
    assert orders == [3, 3, 1]


def test_what_had_waited_and_was_passed_on_is_not_folded() -> None:
    cluster, person, into = two()
    again = profile_id("\0split", "again")
    cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
    cluster.tell(into, START_MS + 11, "m:waits", [TABLET], event="Order")
    cluster.run()
    (first,) = cluster.under_way()
    cluster.send(person, envelope.absorb(START_MS + 12, "m:link", into))
    cluster.part(person, again, TABLET, START_MS + 13, split_id(2))
    cluster.run()
    cluster.send(into, envelope.merge(START_MS + 12, "m:link", person))
    cluster.run()
    cluster.carry_out(first)
    cluster.run()
    (second,) = cluster.under_way()
    made = cluster.carry_out(second)
    cluster.run()
    assert (made.folded.left_events, made.folded.taken_events) == (3, 2)
    assert (cluster.profile(person).emitted["orders"], cluster.profile(again).emitted["orders"]) == (3, 3)
