"""The kinds of cell: what each remembers, and how it answers exactly from that.

| kind | for | holds |
|---|---|---|
| `Count` | count() of everything | an integer |
| `WindowCount` | count() within a duration | sorted times of the events in the window; with a cap, the newest `cap` |
| `Sum` | sum() of everything | [exact total, number of observations] |
| `WindowSum` | sum() within a duration | [exact total, times, values], sorted by time |
| `Spans` | any of these, where time alone decides whether an event passes `where` | [start, end, value] per event |

Times are ms. A span [start, end) says when its event counts; an end of 0 is never. Totals are Decimals, so that adding
and taking away leave no trace. Late events find their place by time: any order of arrival gives the same answers.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from app.events.values import EXACT

Span = tuple[int, int]
"""From when to when an event counts: [start, end), an end of 0 for ever."""

_ZERO = Decimal(0)


class CellKind(Protocol):
    """How one kind of cell is filled and read. `cell` is None as long as nothing has been added."""

    def add(self, cell: Any, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Decimal]) -> Any:
        """The cell with one more event; the same object may come back, changed.

        Args:
            at_ms: The event's own time.
            spans: When it counts; None for from now on, as far as the window says.
            values: The event's number-like observations, for sums.
        """
        ...

    def advance(self, cell: Any, now_ms: int) -> Any:
        """The cell without what can never count again."""
        ...

    def answer(self, cell: Any, now_ms: int) -> int | tuple[Decimal, int]:
        """A count; for sums the exact total and how many observations are in it."""
        ...

    def next_flip_ms(self, cell: Any, now_ms: int) -> int:
        """The next instant after now at which the answer can change with no event; 0 for never."""
        ...


@dataclass(frozen=True, slots=True)
class Count:
    def add(
        self, cell: int | None, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Decimal]
    ) -> int:
        return (cell or 0) + 1

    def advance(self, cell: int, now_ms: int) -> int:
        return cell

    def answer(self, cell: int | None, now_ms: int) -> int:
        return cell or 0

    def next_flip_ms(self, cell: int, now_ms: int) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class WindowCount:
    window_ms: int
    cap: int = 0
    """Above 0, only so many of the newest times are kept: enough where the count is only compared with a number
    below the cap, because events leave in the order of their times."""

    def add(
        self, cell: list[int] | None, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Decimal]
    ) -> list[int] | None:
        if at_ms <= now_ms - self.window_ms:
            return cell
        if cell is None:
            return [at_ms]
        insort(cell, at_ms)
        if self.cap and len(cell) > self.cap:
            del cell[0]
        return cell

    def advance(self, cell: list[int], now_ms: int) -> list[int]:
        gone = bisect_right(cell, now_ms - self.window_ms)
        if gone:
            del cell[:gone]
        return cell

    def answer(self, cell: list[int] | None, now_ms: int) -> int:
        return len(cell) - bisect_right(cell, now_ms - self.window_ms) if cell else 0

    def next_flip_ms(self, cell: list[int], now_ms: int) -> int:
        first = bisect_right(cell, now_ms - self.window_ms)
        return cell[first] + self.window_ms if first < len(cell) else 0


@dataclass(frozen=True, slots=True)
class Sum:
    def add(
        self, cell: list[Any] | None, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Decimal]
    ) -> list[Any] | None:
        if not values:
            return cell
        if cell is None:
            cell = [_ZERO, 0]
        cell[0] = _total(_decimal(cell[0]), values)
        cell[1] += len(values)
        return cell

    def advance(self, cell: list[Any], now_ms: int) -> list[Any]:
        return cell

    def answer(self, cell: list[Any] | None, now_ms: int) -> tuple[Decimal, int]:
        return (_decimal(cell[0]), cell[1]) if cell else (_ZERO, 0)

    def next_flip_ms(self, cell: list[Any], now_ms: int) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class WindowSum:
    window_ms: int

    def add(
        self, cell: list[Any] | None, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Decimal]
    ) -> list[Any] | None:
        if not values or at_ms <= now_ms - self.window_ms:
            return cell
        if cell is None:
            cell = [_ZERO, [], []]
        total, times, held = cell
        cell[0] = _total(_decimal(total), values)
        place = bisect_right(times, at_ms)
        for value in values:
            times.insert(place, at_ms)
            held.insert(place, value)
        return cell

    def advance(self, cell: list[Any], now_ms: int) -> list[Any]:
        total, times, held = cell
        gone = bisect_right(times, now_ms - self.window_ms)
        if gone:
            cell[0] = _total(_decimal(total), [-_decimal(value) for value in held[:gone]])
            del times[:gone]
            del held[:gone]
        return cell

    def answer(self, cell: list[Any] | None, now_ms: int) -> tuple[Decimal, int]:
        if cell is None:
            return _ZERO, 0
        total, times, held = cell
        gone = bisect_right(times, now_ms - self.window_ms)
        if gone:
            total = _total(_decimal(total), [-_decimal(value) for value in held[:gone]])
        return _decimal(total), len(times) - gone

    def next_flip_ms(self, cell: list[Any], now_ms: int) -> int:
        times = cell[1]
        first = bisect_right(times, now_ms - self.window_ms)
        return times[first] + self.window_ms if first < len(times) else 0


@dataclass(frozen=True, slots=True)
class Spans:
    sums: bool
    """Whether it adds up values rather than counts events."""

    def add(
        self, cell: list[Any] | None, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Decimal]
    ) -> list[Any] | None:
        assert spans is not None, "a cell of spans is only given to a condition that time alone can turn"
        held: list[Any] = cell if cell is not None else []
        for start, end in spans:
            if end and end <= now_ms:
                continue
            if self.sums:
                held.extend([start, end, value] for value in values)
            else:
                held.append([start, end, None])
        # The order in which events arrive must leave no trace in the bytes.
        held.sort(key=lambda span: (span[0], span[1], str(span[2])))
        return held or None

    def advance(self, cell: list[Any], now_ms: int) -> list[Any]:
        return [span for span in cell if not span[1] or span[1] > now_ms]

    def answer(self, cell: list[Any] | None, now_ms: int) -> int | tuple[Decimal, int]:
        live = [span for span in cell or () if span[0] <= now_ms and (not span[1] or now_ms < span[1])]
        if not self.sums:
            return len(live)
        return _total(_ZERO, [_decimal(span[2]) for span in live]), len(live)

    def next_flip_ms(self, cell: list[Any], now_ms: int) -> int:
        return min((edge for span in cell for edge in span[:2] if edge > now_ms), default=0)


def _total(total: Decimal, values: Sequence[Decimal]) -> Decimal:
    for value in values:
        total = EXACT.add(total, value)
    # 0E-5 and 0 are one number; a store that was restored must hold the same bytes as one that was not.
    return total if total else _ZERO


def _decimal(value: Decimal | str | int) -> Decimal:
    # Decoded bytes hold exact numbers as text; they become Decimals again when they are next added to.
    return value if type(value) is Decimal else Decimal(value)
