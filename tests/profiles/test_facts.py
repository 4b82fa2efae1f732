"""Sorted lists of facts, at their edges."""

from __future__ import annotations

from app.profiles.facts import after, drop_until, insert, latest_session, merge, since


def test_facts_are_in_the_order_of_their_times_and_of_their_arrival() -> None:
    facts: list[list[object]] = []
    for fact in ([5, "a"], [9, "b"], [5, "c"], [1, "d"], [9, "e"]):
        insert(facts, fact)
    assert facts == [[1, "d"], [5, "a"], [5, "c"], [9, "b"], [9, "e"]]
    assert (after(facts, 5), since(facts, 5)) == (3, 1)
    drop_until(facts, 4)
    assert facts[0] == [5, "a"]
    drop_until(facts, 9)
    assert facts == []


def test_merged_facts_are_in_order_and_of_one_time_the_others_come_behind() -> None:
    facts: list[list[object]] = [[1, "a"], [5, "b"]]
    merge(facts, [[0, "c"], [5, "d"], [9, "e"]])
    assert facts == [[0, "c"], [1, "a"], [5, "b"], [5, "d"], [9, "e"]]


def test_the_latest_session_ends_at_a_gap_and_expires() -> None:
    facts: list[list[object]] = [[0], [10], [19], [28]]
    assert latest_session(facts, 10, 30) == [[10], [19], [28]]
    assert latest_session(facts, 10, 37) == [[10], [19], [28]]
    assert latest_session(facts, 10, 38) == []
    assert latest_session([], 10, 38) == []
