"""What is on its way, or waits, while profiles are split: it is folded, or counted when its turn comes, never both."""

from __future__ import annotations

import pytest

from app.identity.rules import Identifier
from app.ids import profile_id
from app.stages import envelope
from app.topics import partition_of
from tests.stages.splits import START_MS, Parted
from tests.stages.test_splitting import HOUR_MS, TABLET, split_id, two

ANN, PHONE = ("user_id", "ann"), ("device", "phone")


def test_what_is_not_heard_yet_when_the_profile_is_folded_counts_when_it_is_heard() -> None:
    cluster, person, into = two()
    cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
    cluster.run()
    for number, identifier in enumerate((PHONE, TABLET)):
        cluster.tell(person, START_MS + 11, f"m:late{number}", [identifier], event="Order")
    made = cluster.split(cluster.under_way()[0])
    assert (made.folded.left_events, made.folded.taken_events) == (3, 2)
    cluster.run()
    assert [cluster.profile(each).emitted["orders"] for each in (person, into)] == [4, 3]


@pytest.mark.parametrize("is_heard", [True, False])
@pytest.mark.parametrize("identifier", [TABLET, PHONE])
def test_what_a_redirect_has_still_to_pass_on_when_its_profile_is_folded_counts_once(
    identifier: Identifier, is_heard: bool
) -> None:
    cluster, person, into = two()
    here = partition_of(person.encode(), 2)
    names = (profile_id("user_id", f"cat{number}") for number in range(9))
    cat = next(each for each in names if partition_of(each.encode(), 2) != here)
    cluster.tell(cat, START_MS, "m:cat", [("user_id", "cat")], event="View")
    cluster.run()
    waits_for = profile_id("user_id", "dan")
    cluster.send(cat, envelope.absorb(START_MS + 5, "m:x", waits_for))
    cluster.tell(cat, START_MS + 6, "m:waits", [identifier], event="Order")  # parked, and passed on with the merge
    cluster.run()
    cluster.merge(person, cat, START_MS + 8)
    cluster.tell(cat, START_MS + 9, "m:late", [identifier], event="Order")  # by who has not heard of the merge
    cluster.send(waits_for, envelope.merge(START_MS + 5, "m:x", cat))
    cluster.part(person, into, identifier, START_MS + 10, split_id(1))
    while not cluster.under_way():
        cluster.step(cluster.random.choice(cluster.waiting()), 1)
    first = cluster.under_way()[0]
    if is_heard:
        cluster.run()
    else:
        assert cluster.waiting(), "something is on its way"
    cluster.carry_out(first)
    cluster.run()
    of_both = [cluster.profile(each).emitted.get("orders") or 0 for each in (person, into)]
    assert of_both == ([3, 4] if identifier == TABLET else [2, 5])


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


def test_what_waits_behind_an_import_that_has_it_counts_once() -> None:
    cluster, person, into = two()
    cat = profile_id("user_id", "cat")
    for _ in range(2):  # the second comes by way of the redirect
        cluster.tell(cat, START_MS + 8, "m:cat", [("user_id", "cat")], event="Order")
        cluster.run()
        if not cluster.under_way():
            cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
            cluster.run()
            cluster.merge(person, cat, START_MS + 11)
            cluster.run()
    (first,) = cluster.under_way()
    cluster.carry_out(first)
    cluster.run()
    assert orders(cluster, person, into) == [4, 2]


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
    made = cluster.split(cluster.under_way()[0])
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
    made = cluster.split(second)
    cluster.run()
    assert (made.folded.left_events, made.folded.taken_events) == (3, 2)
    assert (cluster.profile(person).emitted["orders"], cluster.profile(again).emitted["orders"]) == (3, 3)


def split_off(cluster: Parted, profile: str, number: int, identifier: Identifier, partition: int = 0) -> str:
    """The profile that the identifier makes, in some partition, when all is done."""
    names = (profile_id("\0split", f"{number}:{place}") for place in range(20))
    into = next(each for each in names if partition_of(each.encode(), 2) == partition)
    cluster.part(profile, into, identifier, START_MS + 10 * number, split_id(number))
    cluster.settle()
    return into


def orders(cluster: Parted, *profiles: str) -> list[int]:
    return [cluster.profile(each).emitted.get("orders") or 0 for each in profiles]


def test_what_went_with_an_identifier_is_its_for_good_though_it_names_another() -> None:
    cluster, person, _ = two()
    cluster.tell(person, START_MS + 8, "m:both", [TABLET, ANN], event="Order")
    of_tablet = split_off(cluster, person, 1, TABLET)
    assert orders(cluster, person, of_tablet) == [3, 3]
    cluster.merge(person, of_tablet, START_MS + 12)
    of_ann = split_off(cluster, person, 2, ANN)
    assert orders(cluster, person, of_ann) == [3, 3], "it came back with the tablet, and stays with it"
    again = split_off(cluster, person, 3, TABLET)
    cluster.merge(person, again, START_MS + 32)
    last = split_off(cluster, person, 4, TABLET)
    assert orders(cluster, person, of_ann, last) == [0, 3, 3]


def test_what_a_profile_passed_on_before_it_became_part_of_another_is_not_folded() -> None:
    cluster, person, _ = two()
    here = partition_of(person.encode(), 2)
    winner, again, of_ann = (_in(here, kind) for kind in ("user_id", "\0again", "\0ann"))
    of_tablet = _in(1 - here, "\0tablet")

    def run_here() -> None:
        while here in cluster.waiting():
            cluster.step(here)

    # The tablet makes a profile, gets a watch there, and leaves that, too.
    cluster.tell(winner, START_MS, "m:winner", [("user_id", "zoe")], event="Order")
    cluster.part(person, of_tablet, TABLET, START_MS + 10, split_id(1))
    cluster.tell(of_tablet, START_MS + 11, "m:watch", [("device", "watch")], event="Order")
    cluster.run()
    cluster.carry_out(cluster.under_way()[0])
    cluster.run()
    cluster.part(of_tablet, again, TABLET, START_MS + 12, split_id(2))
    cluster.run()
    cluster.carry_out(cluster.under_way()[0])
    # Passed on, and on its way to the second, when the first and the third become part of another.
    cluster.tell(person, START_MS + 13, "m:late", [ANN, TABLET], event="Order")
    run_here()
    for each in (person, again):
        cluster.merge(winner, each, START_MS + 14)
        run_here()
    cluster.part(winner, of_ann, ANN, START_MS + 15, split_id(3))
    run_here()
    while asked := [each for each in cluster.under_way() if each.profile == winner]:
        cluster.carry_out(asked[0])
        run_here()
    cluster.settle()
    assert orders(cluster, winner, of_ann, of_tablet) == [4, 3, 1]


def test_what_waits_already_when_it_comes_by_whom_it_went_to_counts_once() -> None:
    cluster, person, _ = two()
    here = partition_of(person.encode(), 2)
    winner, other, of_tablet = _in(here, "user_id"), profile_id("user_id", "dan"), _in(1 - here, "\0tablet")
    cluster.part(person, of_tablet, TABLET, START_MS + 10, split_id(1))
    cluster.run()
    cluster.carry_out(cluster.under_way()[0])
    cluster.run()
    # All become one, and that waits for somebody else, too. One copy goes by way of whom the tablet had made, one comes
    # straight, and it is told what had been passed on between the two.
    cluster.send(of_tablet, envelope.merge(START_MS + 12, "m:link", winner))
    cluster.tell(person, START_MS + 11, "m:late", [ANN, TABLET], event="Order")
    for each in (of_tablet, other, person):
        cluster.send(winner, envelope.absorb(START_MS + 12, "m:link", each))
    cluster.tell(winner, START_MS + 11, "m:late", [ANN, TABLET], event="Order")
    cluster.send(person, envelope.merge(START_MS + 12, "m:link", winner))
    while here in cluster.waiting():
        cluster.step(here)
    cluster.run()
    cluster.send(other, envelope.merge(START_MS + 12, "m:link", winner))
    cluster.settle()
    assert orders(cluster, winner) == [6]


def test_what_comes_back_behind_the_next_split_does_not_stand_for_what_came_before_it() -> None:
    cluster, person, into = two()
    of_phone = profile_id("\0split", "phone")
    both = [ANN, TABLET]
    cluster.part(person, into, TABLET, START_MS + 10, split_id(1))
    cluster.send(into, envelope.merge(START_MS + 12, "m:link", person))
    cluster.tell(person, START_MS + 11, "m:both", both, event="Order")  # goes on, and comes back by way of the redirect
    cluster.step(partition_of(person.encode(), 2), 5)
    cluster.send(person, envelope.absorb(START_MS + 12, "m:link", into))
    cluster.tell(person, START_MS + 11, "m:both", both, event="Order")  # read again, when both were the profile's
    cluster.part(person, of_phone, PHONE, START_MS + 13, split_id(2))
    cluster.run()
    while under_way := cluster.under_way():
        cluster.carry_out(under_way[0])
        cluster.run()
    assert orders(cluster, person, of_phone) == [3, 3]


def _in(partition: int, kind: str) -> str:
    """A profile in a partition."""
    names = (profile_id(kind, f"{kind}{place}") for place in range(20))
    return next(each for each in names if partition_of(each.encode(), 2) == partition)


def test_what_became_part_of_another_first_is_folded_from_what_it_took_along() -> None:
    cluster, person, _ = two()
    other = profile_id("user_id", "cleo")
    cluster.tell(other, START_MS + 8, "m:cleo", [("user_id", "cleo")], event="Order")
    of_tablet = split_off(cluster, person, 1, TABLET)
    cluster.merge(other, of_tablet, START_MS + 12)
    again = split_off(cluster, other, 2, TABLET)
    cluster.merge(person, again, START_MS + 22)
    of_phone = split_off(cluster, person, 3, PHONE)
    assert orders(cluster, other, of_phone, person) == [1, 3, 2]


@pytest.mark.parametrize("partition", [0, 1])
def test_what_was_passed_on_and_came_back_is_theirs_to_whom_it_went(partition: int) -> None:
    cluster, person, _ = two()
    of_tablet = split_off(cluster, person, 1, TABLET, partition)
    cluster.tell(person, START_MS + 12, "m:late", [ANN, TABLET], event="Order")  # by who has not heard of the split
    cluster.run()
    assert orders(cluster, person, of_tablet) == [3, 3]
    cluster.merge(person, of_tablet, START_MS + 13)
    of_ann = split_off(cluster, person, 2, ANN)
    of_phone = split_off(cluster, person, 3, PHONE)
    assert orders(cluster, person, of_ann, of_phone) == [3, 3, 0]


def test_what_is_sent_again_after_it_has_left_is_not_folded() -> None:
    cluster, person, _ = two()
    cluster.tell(person, START_MS + 8, "m:both", [TABLET, ANN], event="Order")
    of_tablet = split_off(cluster, person, 1, TABLET)
    cluster.tell(person, START_MS + 8, "m:both", [ANN], event="Order")  # read again, by who has heard of the split
    cluster.run()
    assert orders(cluster, person, of_tablet) == [3, 3]
    of_phone = split_off(cluster, person, 2, PHONE)
    assert orders(cluster, person, of_phone, of_tablet) == [0, 3, 3]


def test_of_what_came_back_long_ago_all_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "SEEN_BYTES", 16)
    cluster, person, _ = two()
    for day in range(1, 9):
        cluster.tell(person, START_MS + 24 * HOUR_MS * day, f"m:day{day}", [TABLET], event="Order")
    cluster.run()
    into = profile_id("\0split", "of 1")
    cluster.part(person, into, TABLET, START_MS + 24 * HOUR_MS * 9, split_id(1))
    cluster.run()
    cluster.carry_out(cluster.under_way()[0])
    cluster.run()
    cluster.merge(person, into, START_MS + 24 * HOUR_MS * 9 + 1)
    of_phone = split_off(cluster, person, 2, PHONE)
    assert orders(cluster, person, of_phone) == [10, 3]


def test_who_was_taken_out_twice_has_what_went_with_it_the_second_time() -> None:
    cluster, person, _ = two()
    first = split_off(cluster, person, 1, TABLET)
    cluster.merge(person, first, START_MS + 12)
    cluster.tell(person, START_MS + 13, "m:both", [TABLET, PHONE], event="Order")
    second = split_off(cluster, person, 2, TABLET)
    assert orders(cluster, person, second) == [3, 3]
    cluster.merge(person, second, START_MS + 22)
    of_phone = split_off(cluster, person, 3, PHONE)
    assert orders(cluster, person, of_phone) == [3, 3], "it came back with the tablet, and stays with it"
