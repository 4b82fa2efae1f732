"""Cells of everything and cells of windows: events enter and leave at instants that are known when they arrive."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

from app.profiles.aggregates import Aggregate, Extreme, Reversible
from app.profiles.cells import KEPT, Marks, Span, level
from app.profiles.facts import merge as merge_facts

_start_ms = itemgetter(0)
FOREVER_MS = 1 << 62
"""Stands for the end of what never ends, so that ends can be sorted."""


@dataclass(frozen=True, slots=True)
class Count:
    """An integer."""

    def add(
        self, cell: int | None, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Any]
    ) -> int:
        return (cell or 0) + 1

    def advance(self, cell: int, now_ms: int) -> int:
        return cell

    def answer(self, cell: int | None, now_ms: int) -> int | None:
        return cell

    def next_flip_ms(self, cell: int, now_ms: int) -> int:
        return 0

    def merge(self, cell: int, other: int, now_ms: int) -> int:
        return cell + other


@dataclass(frozen=True, slots=True)
class WindowCount:
    """[time of each event in the window], sorted; with marks, perhaps some that have left it."""

    window_ms: int
    cap: int = 0
    """Above 0, only so many of the newest times are kept: enough where the count is only compared with a number
    below the cap, because events leave in the order of their times."""
    marks: Marks | None = None
    """None where each count matters; none is above the cap."""

    def add(
        self, cell: list[int] | None, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Any]
    ) -> Any:
        over_ms = now_ms - self.window_ms
        if at_ms <= over_ms:
            return None
        if cell is None:
            return [at_ms]
        if cell and cell[0] <= over_ms:
            del cell[: bisect_right(cell, over_ms)]
        insort(cell, at_ms)
        if self.cap and len(cell) > self.cap:
            del cell[0]
            return KEPT if self.marks is not None else cell
        return cell if self.marks is None or len(cell) in self.marks else KEPT

    def advance(self, cell: list[int], now_ms: int) -> list[int] | None:
        gone = bisect_right(cell, now_ms - self.window_ms)
        if gone:
            del cell[:gone]
        return cell or None

    def answer(self, cell: list[int] | None, now_ms: int) -> int | None:
        return len(cell) - bisect_right(cell, now_ms - self.window_ms) if cell else None

    def next_flip_ms(self, cell: list[int], now_ms: int) -> int:
        over_ms = now_ms - self.window_ms
        first, marks = bisect_right(cell, over_ms), self.marks
        if marks is not None:
            reached = level(marks, len(cell) - first)
            # The count falls below a mark when the oldest of so many of the newest leaves.
            return cell[-marks[reached - 1]] + self.window_ms if reached else 0
        return cell[first] + self.window_ms if first < len(cell) else 0

    def merge(self, cell: list[int], other: list[int], now_ms: int) -> list[int] | None:
        cell += other
        cell.sort()  # two sorted runs: no more than going through both
        if self.cap:
            del cell[: -self.cap]
        return self.advance(cell, now_ms)


@dataclass(frozen=True, slots=True)
class Total:
    """The total of an aggregate."""

    aggregate: Aggregate

    def add(self, cell: Any, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Any]) -> Any:
        if not values:
            return None
        total = cell
        for value in values:
            total = self.aggregate.add(total, value)
        # An extreme that comes back is still the best; other totals come back changed.
        return None if total is cell and isinstance(self.aggregate, Extreme) else total

    def advance(self, cell: Any, now_ms: int) -> Any:
        return cell

    def answer(self, cell: Any, now_ms: int) -> Any:
        return cell

    def next_flip_ms(self, cell: Any, now_ms: int) -> int:
        return 0

    def merge(self, cell: Any, other: Any, now_ms: int) -> Any:
        return self.aggregate.merge(cell, other)


@dataclass(frozen=True, slots=True)
class Spanned:
    """[total of what counts, ends, values, pending]: ends and values of the same index belong together, sorted by end;
    pending are [start, end, value], sorted by start."""

    aggregate: Reversible
    near_ms: int = 0
    """How long after its time an event enters; `far_ms` after it, it leaves."""
    far_ms: int = 0

    def add(
        self, cell: list[Any] | None, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Any]
    ) -> list[Any] | None:
        if spans is None:
            return entered(cell, at_ms + self.near_ms, now_ms, at_ms + self.far_ms, values, self._enter)
        return added(cell, now_ms, spans, values, self._enter)

    def _enter(self, cell: list[Any], end_ms: int, value: Any) -> None:
        total, ends, values, _ = cell
        cell[0] = self.aggregate.add(total, value)
        if end_ms < FOREVER_MS:
            place = bisect_right(ends, end_ms)
            ends.insert(place, end_ms)
            values.insert(place, value)

    def advance(self, cell: list[Any], now_ms: int) -> list[Any] | None:
        _, ends, values, pending = cell
        if pending and pending[0][0] <= now_ms:
            begin(cell, now_ms, self._enter)
        gone = bisect_right(ends, now_ms)
        if gone:
            total, remove = cell[0], self.aggregate.remove
            for value in values[:gone]:
                total = remove(total, value)
            cell[0] = total
            del ends[:gone]
            del values[:gone]
        return cell if pending or cell[0] is not None else None

    def answer(self, cell: list[Any] | None, now_ms: int) -> Any:
        if cell is None:
            return None
        self.advance(cell, now_ms)
        return cell[0]

    def next_flip_ms(self, cell: list[Any], now_ms: int) -> int:
        return next_edge_ms(cell, now_ms)

    def merge(self, cell: list[Any], other: list[Any], now_ms: int) -> list[Any] | None:
        cell[0] = self.aggregate.merge(cell[0], other[0])
        found = leaving(cell, other)
        cell[1], cell[2] = [end_ms for end_ms, _ in found], [value for _, value in found]
        merge_facts(cell[3], other[3])
        return self.advance(cell, now_ms)


@dataclass(frozen=True, slots=True)
class Peaks:
    """As `Spanned`, without a total: of two values the one that leaves first is kept only while it is the better one,
    so the first of those that are left is the answer."""

    aggregate: Extreme
    near_ms: int = 0
    far_ms: int = 0

    def add(
        self, cell: list[Any] | None, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Any]
    ) -> Any:
        if spans is not None:
            return added(cell, now_ms, spans, values, self._enter)
        best = cell[2][0] if cell is not None and cell[2] else None
        filled = entered(cell, at_ms + self.near_ms, now_ms, at_ms + self.far_ms, values, self._enter)
        # A value behind the best one turns nothing before that one leaves; one whose time is to come, may.
        return KEPT if filled is not None and best is not None and filled[2][0] is best and not filled[3] else filled

    def _enter(self, cell: list[Any], end_ms: int, value: Any) -> None:
        _, ends, values, _ = cell
        beats = self.aggregate.beats
        place = bisect_right(ends, end_ms)
        if (place < len(ends) and beats(values[place], value)) or (
            place and ends[place - 1] == end_ms and beats(values[place - 1], value)
        ):
            return
        first = place
        while first and beats(value, values[first - 1]):
            first -= 1
        ends[first:place] = [end_ms]
        values[first:place] = [value]

    def advance(self, cell: list[Any], now_ms: int) -> list[Any] | None:
        _, ends, values, pending = cell
        if pending and pending[0][0] <= now_ms:
            begin(cell, now_ms, self._enter)
        gone = bisect_right(ends, now_ms)
        if gone:
            del ends[:gone]
            del values[:gone]
        return cell if pending or ends else None

    def answer(self, cell: list[Any] | None, now_ms: int) -> Any:
        if cell is None:
            return None
        self.advance(cell, now_ms)
        return cell[2][0] if cell[2] else None

    def next_flip_ms(self, cell: list[Any], now_ms: int) -> int:
        return next_edge_ms(cell, now_ms)

    def merge(self, cell: list[Any], other: list[Any], now_ms: int) -> list[Any] | None:
        ends: list[int] = []
        values: list[Any] = []
        for end_ms, value in reversed(leaving(cell, other)):
            if values and self.aggregate.beats(values[-1], value):
                continue
            if ends and ends[-1] == end_ms:
                values[-1] = value
            else:
                ends.append(end_ms)
                values.append(value)
        cell[1], cell[2] = ends[::-1], values[::-1]
        merge_facts(cell[3], other[3])
        return self.advance(cell, now_ms)


def in_window(at_ms: int, now_ms: int, near_ms: int, far_ms: int) -> Sequence[Span]:
    """When an event counts of which only its window decides; nothing once that is over, an end at 0 too."""
    end_ms = at_ms + far_ms
    return ((at_ms + near_ms, end_ms),) if end_ms > now_ms else ()


Enter: TypeAlias = Callable[[list[Any], int, Any], None]
"""Puts a value into a cell: the cell, when the value leaves it, the value."""


def entered(
    cell: list[Any] | None, start_ms: int, now_ms: int, end_ms: int, values: Sequence[Any], enter: Enter
) -> list[Any] | None:
    """The cell with values of which only its window decides; None when they are none or over."""
    if not values or end_ms <= now_ms:
        return None
    if cell is None:
        cell = [None, [], [], []]
    for value in values:
        if start_ms <= now_ms:
            enter(cell, end_ms, value)
        else:
            insort(cell[3], [start_ms, end_ms, value], key=_start_ms)
    return cell


def added(
    cell: list[Any] | None, now_ms: int, spans: Sequence[Span], values: Sequence[Any], enter: Enter
) -> list[Any] | None:
    """The cell with values that count in some spans; None when they are none or over."""
    changed = False
    for start_ms, end_ms in spans:
        if end_ms and end_ms <= now_ms:
            continue
        for value in values:
            if cell is None:
                cell = [None, [], [], []]
            if start_ms <= now_ms:
                enter(cell, end_ms or FOREVER_MS, value)
            else:
                insort(cell[3], [start_ms, end_ms, value], key=_start_ms)
            changed = True
    return cell if changed else None


def begin(cell: list[Any], now_ms: int, enter: Enter) -> None:
    """Let the values enter whose time has come."""
    pending = cell[3]
    due = bisect_right(pending, now_ms, key=_start_ms)
    for _, end_ms, value in pending[:due]:
        if not end_ms or end_ms > now_ms:
            enter(cell, end_ms or FOREVER_MS, value)
    del pending[:due]


def leaving(cell: list[Any], other: list[Any]) -> list[tuple[int, Any]]:
    """The (end, value) of two cells, sorted by end."""
    return sorted(zip(cell[1] + other[1], cell[2] + other[2], strict=True), key=itemgetter(0))


def next_edge_ms(cell: list[Any], now_ms: int) -> int:
    """The next instant at which a value enters or leaves; 0 for never."""
    _, ends, _, pending = cell
    first = bisect_right(ends, now_ms)
    end_ms: int = ends[first] if first < len(ends) and ends[first] < FOREVER_MS else 0
    first = bisect_right(pending, now_ms, key=_start_ms) if pending else 0
    if first == len(pending):
        return end_ms
    start_ms: int = pending[first][0]
    return min(start_ms, end_ms) if end_ms else start_ms
