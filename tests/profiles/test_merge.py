"""Profiles that become one: traits, identifiers, cells that only one of them has, and the timer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.profiles import codec
from app.profiles.aggregates import Counted
from app.profiles.funnels import Funnel, Look, Step
from app.profiles.merge import merge
from app.profiles.state import Profile, is_later
from app.profiles.windows import Count, WindowCount

KINDS = {"count": Count(), "recent": WindowCount(10)}


def profile(**fields: Any) -> Profile:
    made = Profile()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_identifiers_are_the_winners_then_those_that_are_new() -> None:
    winner = profile(identifiers=[("user_id", "u"), ("email", "e")])
    merge(winner, profile(identifiers=[("anonymous_id", "a"), ("email", "e"), ("email", "f")]), {}, 5)
    assert winner.identifiers == [("user_id", "u"), ("email", "e"), ("anonymous_id", "a"), ("email", "f")]


def test_cells_that_nobody_needs_are_dropped_and_the_others_are_brought_to_now() -> None:
    winner = profile(clock=12, cells={"count": 3, "gone": 1, "recent": [4, 9]})
    merge(winner, profile(clock=15, cells={"gone": 2, "left": [], "recent": [3, 5, 12]}), KINDS, 16)
    assert winner.cells == {"count": 3, "recent": [9, 12]}
    assert (winner.clock, winner.armed_due) == (16, 19)


@pytest.mark.parametrize("of_the_winner", [True, False])
def test_a_cell_of_one_alone_is_taken_over_as_of_now(of_the_winner: bool) -> None:
    pair = [profile(cells={"recent": [1, 8]}), profile()]
    winner, loser = pair if of_the_winner else pair[::-1]
    merge(winner, loser, KINDS, 12)
    assert winner.cells == {"recent": [8]}
    assert winner.armed_due == 18
    again = profile(armed_due=18)
    merge(again, winner, KINDS, 40)
    assert (again.cells, again.armed_due) == ({}, 0), "what is over arms no timer"


def test_what_was_emitted_and_applied_stays_as_it_is() -> None:
    winner = profile(w=7, sequence=3, plan=9, emitted={"a": 1}, parts=frozenset({b"x"}))
    merge(winner, profile(w=8, sequence=9, plan=1, emitted={"b": 1}, parts=frozenset({b"y"})), KINDS, 5)
    assert (winner.w, winner.sequence, winner.plan, winner.emitted) == (7, 3, 9, {"a": 1})
    assert winner.parts == {b"x"}


def test_time_does_not_go_back() -> None:
    with pytest.raises(AssertionError, match="time never goes back"):
        merge(profile(), profile(clock=6), KINDS, 5)


writes = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 1 << 63)),
    max_size=8,
    unique_by=lambda write: write[2],
)


def written(found: Sequence[tuple[str, int, int]]) -> dict[str, list[Any]]:
    traits: dict[str, list[Any]] = {}
    for key, at_ms, arrival in found:
        write = [f"by {arrival}", at_ms, arrival]
        if key not in traits or is_later(write, traits[key]):
            traits[key] = write
    return traits


@given(data=st.data())
def test_the_last_writer_of_a_trait_wins_in_whatever_order_profiles_become_one(data: st.DataObject) -> None:
    found = data.draw(writes)
    dealt = data.draw(st.lists(st.integers(0, 2), min_size=len(found), max_size=len(found)))
    people = [
        profile(traits=written([write for write, place in zip(found, dealt, strict=True) if place == number]))
        for number in range(3)
    ]
    one, two, three = data.draw(st.permutations(people))
    if data.draw(st.booleans()):
        merge(one, two, {}, 0)
        merge(one, three, {}, 0)
    else:
        merge(two, three, {}, 0)
        merge(one, two, {}, 0)
    assert one.traits == written(found)


# ── the least that answers, after a merge too ─────────────────────────────────────────────────────────────────────


def has_child(look: Look) -> bool:
    return bool(CHILD.total(look))


TOP = Step(0, Counted(), has_child, 0, None, None, None, cap=0, newest=False, forget_ms=None, pairwise=False)
CHILD = Step(1, Counted(), None, 0, None, None, None, cap=2, newest=True, forget_ms=None, pairwise=True)
FUNNEL = Funnel((TOP, CHILD), (0, None), stays_in=True, stays_out=False)


def test_a_parent_that_the_others_child_settles_is_only_counted() -> None:
    parents = FUNNEL.add(None, 5, [(0, [5, [], [1]])])
    children = FUNNEL.add(None, 9, [(1, [9, [], [1]])])
    assert FUNNEL.merge(parents, children, 10) == [1, [], [[9, [], [1]]]]


def test_of_both_profiles_children_the_newest_are_kept() -> None:
    one, other = ([None, [], [[at_ms, [], [1]] for at_ms in times]] for times in ((1, 8), (4, 9)))
    merged = FUNNEL.merge(one, other, 10)
    assert merged is not None
    assert [fact[0] for fact in merged[2]] == [8, 9]


def test_merged_counts_keep_no_more_than_their_cap() -> None:
    assert WindowCount(100, cap=3).merge([1, 5, 6], [2, 7], 10) == [5, 6, 7]


def test_what_is_merged_can_be_stored() -> None:
    winner = profile(cells={"count": 1})
    merge(winner, codec.decode(codec.encode(profile(cells={"count": 2, "recent": [3]}), 1)), KINDS, 4)
    assert codec.decode(codec.encode(winner, 1)).cells == {"count": 3, "recent": [3]}
