"""What is left of a cell without another's events: one of each kind, and what is said where that has more."""

from __future__ import annotations

from typing import Any

import pytest

from app.profiles.aggregates import Counted, Extreme, Summed, Texts
from app.profiles.cells import CellKind
from app.profiles.remainder import NotWithin, remainder, remaining
from app.profiles.sessions import Runs, SessionFacts
from app.profiles.windows import Count, Peaks, Spanned, Total, WindowCount

NOW_MS = 100
MIN, MAX = Extreme("texts", greatest=False), Extreme("texts", greatest=True)
CASES: list[tuple[CellKind, Any, Any, Any]] = [
    (Count(), 5, 2, 3),
    (Count(), 5, 5, None),
    (WindowCount(50), [60, 70, 70], [70], [60, 70]),
    (WindowCount(50, cap=2), [70, 80], [60, 80], [70]),
    (Total(Summed()), ["7.5", 3], ["2.5", 1], ["5.0", 2]),
    (Total(Texts()), {"a": 2, "b": 1}, {"a": 1, "b": 1}, {"a": 1}),
    (Total(MIN), "a", "b", "a"),
    (Total(MIN), "a", "a", None),
    (Spanned(Counted()), [3, [110, 120], [1, 1], []], [1, [120], [1], []], [2, [110], [1], []]),
    (
        Peaks(Extreme("texts", greatest=True)),
        [None, [120], ["c"], []],
        [None, [110], ["b"], []],
        [None, [120], ["c"], []],
    ),
    (Runs(Counted(), 10), [[1, 9, 3], [40, 60, 5]], [[50, 60, 2]], [[1, 9, 3], [40, 50, 3]]),
    (Runs(Counted(), 10), [[40, 60, 5]], [[40, 60, 5]], None),
    (SessionFacts(Counted(), 10), [[1, 1, 0, [1]], [2, 2, 0, [1]]], [[2, 2, 0, [1]]], [[1, 1, 0, [1]]]),
]
TOO_MUCH: list[tuple[CellKind, Any, Any]] = [
    (Count(), 2, 5),
    (WindowCount(50), [60], [70]),
    (Total(Summed()), ["7", 1], ["7", 2]),
    (Total(Texts()), {"a": 2}, {"b": 1}),
    (Spanned(Counted()), [1, [110], [1], []], [1, [120], [1], []]),
    (Runs(Counted(), 10), [[40, 60, 5]], [[70, 80, 1]]),
    (SessionFacts(Counted(), 10), [[1, 1, 0, [1]]], [[2, 2, 0, [1]]]),
]


@pytest.mark.parametrize(("kind", "cell", "other", "left"), CASES)
def test_what_is_left(kind: CellKind, cell: Any, other: Any, left: Any) -> None:
    found = remainder(kind, cell, other, NOW_MS)
    assert found == left or [str(found[0]), *found[1:]] == left


@pytest.mark.parametrize(("kind", "cell", "other"), TOO_MUCH)
def test_the_other_has_more(kind: CellKind, cell: Any, other: Any) -> None:
    with pytest.raises(NotWithin):
        remainder(kind, cell, other, NOW_MS)


def test_of_a_profile() -> None:
    kinds = dict.fromkeys("abcd", Count())
    there, told, left = {"a": 9, "b": 3, "c": 1, "x": 1}, {"a": 4, "b": 3, "c": 2, "d": 2}, {"a": 3, "b": 1, "d": 1}
    found = remaining(there, told, left, kinds, NOW_MS)
    assert found.cells == {"a": 9 - 4 + 3, "b": 1, "c": 1}
    assert (found.older, found.whole) == ({"a", "c", "d"}, {"c", "d"})
