"""Sorted lists of facts. A fact is a list that begins with the time of its event, in ms; a list is sorted by that.

All cells keep their facts through these few functions, so that how long lists are stored is decided here alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from operator import itemgetter
from typing import Any, TypeAlias

Fact: TypeAlias = list[Any]
Facts: TypeAlias = list[Fact]

_at_ms = itemgetter(0)


def insert(facts: Facts, fact: Fact) -> None:
    """Put a fact in its place: behind those of the same time."""
    if not facts or facts[-1][0] <= fact[0]:
        facts.append(fact)
    else:
        insort(facts, fact, key=_at_ms)


def merge(facts: Facts, others: Facts) -> None:
    """Put the facts of another list in their places; of the same time, these come behind."""
    if others:
        facts += others
        facts.sort(key=_at_ms)  # two sorted runs: no more than going through both


def drop_until(facts: Facts, at_ms: int) -> None:
    """Forget the facts up to and including an instant."""
    if facts and facts[0][0] <= at_ms:
        del facts[: bisect_right(facts, at_ms, key=_at_ms)]


def after(facts: Facts, at_ms: int) -> int:
    """The index of the first fact that is later than an instant."""
    return bisect_right(facts, at_ms, key=_at_ms)


def since(facts: Facts, at_ms: int) -> int:
    """The index of the first fact that is not earlier than an instant."""
    return bisect_left(facts, at_ms, key=_at_ms)


def latest_session(facts: Facts, gap_ms: int, now_ms: int) -> Facts:
    """The newest run of facts with no gap of that length in it, as long as it has not expired."""
    if not facts or now_ms - facts[-1][0] >= gap_ms:
        return []
    first = len(facts) - 1
    while first and facts[first][0] - facts[first - 1][0] < gap_ms:
        first -= 1
    return facts[first:]
