"""The users of an account: who satisfies what, and who has been told."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from app.profiles.members import Members


def joined(members: Members, *users: str) -> Members:
    for user in users:
        assert members.heard(user, 1)
        assert members.join(user, 1)
    return members


def told(members: Members, at_most: int) -> list[tuple[str, Any]]:
    return [(user, dict(values)) for user, values in members.next_portion(at_most)]


def test_a_condition_is_known_when_every_user_has_said() -> None:
    members = Members()
    assert members.is_known("c"), "of nobody all is known"
    joined(members, "ann", "bob")
    assert not members.is_known("c")
    assert members.said("ann", {"c": True}) == ["c"]
    assert (members.satisfying("c"), members.is_known("c")) == (1, False)
    assert members.said("bob", {"c": False}) == ["c"]
    assert (members.satisfying("c"), members.is_known("c")) == (1, True)
    assert members.said("bob", {"c": False}) == [], "that is not new"


def test_a_record_that_is_not_newer_is_a_repeat() -> None:
    members = joined(Members(), "ann")
    assert not members.heard("ann", 1)
    assert members.heard("ann", 3)
    assert not members.heard("ann", 2)


def test_who_has_become_part_of_another_counts_no_more_and_stays_gone() -> None:
    members = joined(Members(), "ann", "bob")
    members.said("ann", {"c": True})
    members.said("bob", {"c": False})
    assert members.replace("ann")
    assert not members.replace("ann"), "a second time is a repeat"
    assert (members.count, members.satisfying("c"), members.is_known("c")) == (1, 0, True)
    assert members.heard("ann", 2), "what was on its way still counts"
    assert not members.join("ann", 2)
    assert members.said("ann", {"c": True}) == []


def test_who_has_left_may_come_back_to_its_old_place() -> None:
    members = joined(Members(), "ann", "bob")
    members.said("ann", {"c": True})
    assert members.leave("ann")
    assert not members.leave("ann")
    assert (members.count, members.satisfying("c")) == (1, 0)
    assert members.heard("ann", 2)
    assert members.join("ann", 2)
    assert not members.is_known("c"), "it has yet to say so anew"
    assert (members.count, [*members.users]) == (2, ["ann", "bob"])
    members.replace("ann")
    assert not members.join("ann", 3)


def test_who_is_replaced_before_it_has_been_heard_of_never_joins() -> None:
    members = Members()
    assert not members.replace("ann")
    assert members.heard("ann", 1)
    assert not members.join("ann", 1)
    assert members.count == 0


@pytest.mark.parametrize("seed", range(50))
def test_totals_are_those_of_the_users(seed: int) -> None:
    random = Random(seed)
    members, truth = Members(), dict[str, dict[str, bool]]()
    for _ in range(200):
        user, condition = f"u{random.randint(1, 9)}", f"c{random.randint(1, 4)}"
        what = random.random()
        if what < 0.2:
            members.join(user, 1)
            if user not in members.users or members.users[user][1] is not None:
                truth.setdefault(user, {})
        elif what < 0.25 and user in truth:
            members.replace(user)
            del truth[user]
        elif user in truth:
            holds = random.random() < 0.5
            members.said(user, {condition: holds})
            truth[user][condition] = holds
        if random.random() < 0.1:
            members = Members(*members.to_list())
    assert members.count == len(truth)
    for condition in ("c1", "c2", "c3", "c4"):
        assert members.satisfying(condition) == sum(said.get(condition, False) for said in truth.values())
        assert members.is_known(condition) == all(condition in said for said in truth.values())


# ── telling ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_users_are_told_in_portions_and_each_once() -> None:
    members = joined(Members(), "ann", "bob", "cid", "dot", "eve")
    members.replace("bob")
    members.tell({"k": 1})
    portions = []
    while members.telling:
        portions.append([user for user, _ in told(members, 2)])
    assert portions == [["ann"], ["cid", "dot"], ["eve"]]
    assert members.portion == 3


def test_who_joins_meanwhile_is_not_told_of_what_was_before() -> None:
    members = joined(Members(), "ann", "bob")
    members.tell({"k": 1})
    assert told(members, 1) == [("ann", {"k": 1})]
    joined(members, "cid")
    assert told(members, 9) == [("bob", {"k": 1})]


def test_who_is_behind_hears_of_the_last_only() -> None:
    members = joined(Members(), "ann", "bob")
    members.tell({"k": 1})
    assert told(members, 1) == [("ann", {"k": 1})]
    for value in (2, 3):
        members.tell({"k": value})
    members.tell({"other": True})
    assert told(members, 9) == [
        ("bob", {"k": 1}),
        ("ann", {"k": 3, "other": True}),
        ("bob", {"k": 3, "other": True}),
    ]
    assert not members.telling


def test_nobody_is_told_where_nobody_is() -> None:
    members = Members()
    members.tell({"k": 1})
    assert told(members, 5) == []
    assert not members.telling
