"""Each kind of cell against a list of all events: in any order of arrival, over any time, through bytes and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.profiles import codec
from app.profiles.cells import CellKind, Count, Span, Spans, Sum, WindowCount, WindowSum
from app.profiles.state import Profile

many = settings(max_examples=int(os.environ.get("HEADWATER_EXAMPLES", "120")), deadline=None)

WINDOW_MS = 10
CAP = 3


@dataclass(frozen=True)
class Add:
    """An event arrives now, `late_ms` after it happened."""

    late_ms: int
    values: tuple[Decimal, ...]
    spans: tuple[tuple[int, int], ...]
    """(delay until it starts to count, for how long; 0 for ever)."""


@dataclass(frozen=True)
class Pass:
    """Time passes; the cell may be told to drop what is over."""

    ms: int
    advance: bool


@dataclass(frozen=True)
class Reload:
    """Through the codec."""


class Everything:
    """The brute force: all events that ever arrived."""

    def __init__(self, kind: CellKind) -> None:
        self.kind = kind
        self.events: list[tuple[int, tuple[Decimal, ...], list[Span]]] = []

    def add(self, at_ms: int, add: Add, spans: list[Span]) -> None:
        self.events.append((at_ms, add.values, spans))

    def answer(self, now_ms: int) -> int | tuple[Decimal, int]:
        match self.kind:
            case Count():
                return len(self.events)
            case WindowCount(window_ms, cap):
                found = sum(at_ms > now_ms - window_ms for at_ms, _, _ in self.events)
                return min(found, cap) if cap else found
            case Sum():
                return _sum([value for _, values, _ in self.events for value in values])
            case WindowSum(window_ms):
                return _sum(
                    [value for at_ms, values, _ in self.events if at_ms > now_ms - window_ms for value in values]
                )
            case Spans(sums):
                live = [
                    values
                    for _, values, spans in self.events
                    for start, end in spans
                    if start <= now_ms and (not end or now_ms < end)
                ]
                return _sum([value for values in live for value in values]) if sums else len(live)
        raise AssertionError(self.kind)


def _sum(values: Sequence[Decimal]) -> tuple[Decimal, int]:
    return sum(values, Decimal(0)), len(values)


numbers = st.decimals(min_value=-1000, max_value=1000, places=2) | st.sampled_from([Decimal("0.1"), Decimal("1e3")])
lengths = st.integers(0, 2 * WINDOW_MS)
adds = st.builds(
    Add,
    late_ms=lengths,
    values=st.lists(numbers, max_size=3).map(tuple),
    spans=st.lists(st.tuples(lengths, lengths), max_size=2).map(tuple),
)
steps = st.lists(adds | st.builds(Pass, ms=lengths, advance=st.booleans()) | st.just(Reload()), max_size=25)

KINDS: tuple[CellKind, ...] = (
    Count(),
    WindowCount(WINDOW_MS),
    WindowCount(WINDOW_MS, CAP),
    Sum(),
    WindowSum(WINDOW_MS),
    Spans(False),
    Spans(True),
)


def reloaded(cell: Any) -> Any:
    profile = Profile()
    profile.cells = {"c": cell}
    return codec.decode(codec.encode(profile, 1)).cells["c"]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@many
@given(steps)
def test_cell_answers_as_if_it_had_kept_every_event(kind: CellKind, steps: list[Add | Pass | Reload]) -> None:
    everything, cell, now_ms = Everything(kind), None, 1_000
    for step in steps:
        match step:
            case Add(late_ms):
                spans = [(now_ms + start, now_ms + start + length if length else 0) for start, length in step.spans]
                everything.add(now_ms - late_ms, step, spans)
                given_spans = spans if isinstance(kind, Spans) else None
                cell = kind.add(cell, now_ms - late_ms, now_ms, given_spans, step.values)
            case Pass(ms, advance):
                now_ms += ms
                if advance and cell is not None:
                    cell = kind.advance(cell, now_ms)
            case Reload():
                cell = reloaded(cell)
        assert kind.answer(cell, now_ms) == everything.answer(now_ms)
    if cell is not None:
        _check_flip(kind, cell, everything, now_ms)


def _check_flip(kind: CellKind, cell: Any, everything: Everything, now_ms: int) -> None:
    """The answer stays as it is until the instant that the cell names, and the cell knows all answers from there on."""
    flip_ms = kind.next_flip_ms(cell, now_ms)
    assert flip_ms == 0 or flip_ms > now_ms
    horizon_ms = now_ms + 5 * WINDOW_MS
    for later_ms in range(now_ms, horizon_ms):
        answer = everything.answer(later_ms)
        if not flip_ms or later_ms < flip_ms:
            assert answer == everything.answer(now_ms), f"turned at {later_ms}, the cell said {flip_ms}"
        assert kind.answer(cell, later_ms) == answer


@pytest.mark.parametrize("kind", [each for each in KINDS if not isinstance(each, Spans)], ids=str)
@many
@given(st.data())
def test_order_of_arrival_does_not_matter(kind: CellKind, data: st.DataObject) -> None:
    events = data.draw(st.lists(st.tuples(lengths, st.lists(numbers, max_size=2).map(tuple)), max_size=12))
    shuffled = data.draw(st.permutations(events))
    one, other = (_filled(kind, order) for order in (events, shuffled))
    for now_ms in range(1_000, 1_000 + 3 * WINDOW_MS):
        assert kind.answer(one, now_ms) == kind.answer(other, now_ms)


def _filled(kind: CellKind, events: Sequence[tuple[int, tuple[Decimal, ...]]]) -> Any:
    cell = None
    for late_ms, values in events:
        cell = kind.add(cell, 1_000 - late_ms, 1_000, None, values)
    return cell


@many
@given(st.lists(st.tuples(lengths, lengths), max_size=8).flatmap(lambda e: st.tuples(st.just(e), st.permutations(e))))
def test_order_of_arrival_leaves_no_trace_in_spans(orders: tuple[list[tuple[int, int]], list[tuple[int, int]]]) -> None:
    cells = []
    for order in orders:
        cell = None
        for start, length in order:
            cell = Spans(False).add(cell, 1, 1, [(1 + start, 2 + start + length)], ())
        cells.append(cell)
    assert cells[0] == cells[1]


def test_capped_count_keeps_no_more_than_its_cap() -> None:
    kind = WindowCount(1_000_000, cap=3)
    cell: Any = None
    for at_ms in (5, 1, 9, 7, 3, 8):
        cell = kind.add(cell, at_ms, 10, None, ())
    assert cell == [7, 8, 9]


def test_a_million_cents_leave_no_trace() -> None:
    kind = WindowSum(10)
    cell: Any = kind.add(None, 0, 0, None, [Decimal("1000000")])
    for at_ms in range(1, 50):
        cell = kind.add(cell, at_ms, at_ms, None, [Decimal("0.1")] * 3)
        cell = kind.advance(cell, at_ms)
    cell = kind.advance(cell, 1_000)
    assert cell == [Decimal(0), [], []]
    assert str(cell[0]) == "0", "a zero with digits behind the point would make other bytes than a fresh one"
