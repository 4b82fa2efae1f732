"""Totals: the same in any order, taken together or one by one, and without a trace of what was taken away."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.profiles.aggregates import Aggregate, Counted, Extreme, Reversible, Summed, Texts

numbers = st.sampled_from([Decimal(each) for each in ("-1", "0.1", "1", "1.0", "1E3", "7")])
words = st.sampled_from(["", "a", "b", "é"])
moments = st.tuples(st.integers(0, 3), st.integers(0, 10**6), words).map(list)

REVERSIBLE: list[tuple[Reversible, st.SearchStrategy[Any]]] = [
    (Counted(), st.just(1)),
    (Summed(), numbers),
    (Texts(), words),
]
EVERY: list[tuple[Aggregate, st.SearchStrategy[Any]]] = [
    *REVERSIBLE,
    (Extreme("numbers", False), numbers),
    (Extreme("texts", True), words),
    (Extreme("moments", False), moments),
    (Extreme("moments", True), moments),
]


def total(aggregate: Aggregate, values: list[Any]) -> Any:
    held = None
    for value in values:
        held = aggregate.add(held, value)
    return held


@pytest.mark.parametrize(("aggregate", "values"), EVERY, ids=str)
@given(data=st.data())
def test_totals_merge_as_if_all_had_been_one(
    aggregate: Aggregate, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    # Of moments no two are alike: a partition gives each arrival its own number.
    found = data.draw(st.lists(values, unique_by=lambda value: str(value[:2]) if type(value) is list else str(value)))
    cut = data.draw(st.integers(0, len(found)))
    one, other = total(aggregate, found[:cut]), total(aggregate, found[cut:])
    merged = aggregate.merge(one, other) if one is not None else other
    assert merged == total(aggregate, found) == total(aggregate, data.draw(st.permutations(found)))


@pytest.mark.parametrize(("aggregate", "values"), REVERSIBLE, ids=str)
@given(data=st.data())
def test_what_is_taken_away_leaves_no_trace(
    aggregate: Reversible, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    kept, gone = data.draw(st.lists(values)), data.draw(st.lists(values))
    held = total(aggregate, data.draw(st.permutations(kept + gone)))
    for value in gone:
        held = aggregate.remove(held, value)
    assert held == total(aggregate, kept)
