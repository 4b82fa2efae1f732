"""The kinds of cell: what each remembers, so that it answers exactly with the least.

| kind | for | holds |
|---|---|---|
| `Count` | count() of everything | an integer |
| `Total` | any other reducer of everything | the aggregate's total |
| `WindowCount` | count() within a duration | sorted times of the events in the window; with a cap, the newest `cap` |
| `Spanned` | a window, or a `where` that time can turn | the total of what counts now; each value that will leave it, |
| | | and when; each whose time is to come |
| `Peaks` | the same, for min, max, first, last | only values that no better one outlives, and those to come |
| `Runs` | expires_after() alone | for each session its start, its end, its total |
| `SessionFacts` | expires_after() with a window, or with a | each event that counts or will: its time, from when to |
| | `where` that time can turn | when, its values |
| `Funnel` | events inside `where` | of parents that are not settled, and of their children's events: the time, and |
| | | the values that reducers and conditions still need |
| `Events` | `where` that asks what an account was, | the events themselves (`unjudged`) |
| | at its users | |

Merging goes once through both cells. It is exact, although so much is forgotten: what is over, hidden by a better
value, beyond a cap or settled is so whatever other events there are. A `Funnel` looks again at the parents that the
other profile's facts can reach, each at the facts below it that its `within(parent:)` lets in and that can share with
it the property by which they are matched.

What aggregates hold is told in `aggregates`. Times are ms. A span [start, end) says when an event counts; an end of 0
is never. Late events find their place by time, so any order of arrival gives the same answers.

Counts that are only compared with constants have marks: the counts at which one of those comparisons turns. Between two
of them nothing turns, whatever comes and goes: an event is kept and nobody asked anew, and time has nothing to do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

Span: TypeAlias = tuple[int, int]
"""From when to when an event counts: [start, end), an end of 0 for ever."""

KEPT = object()
"""Stands for the cell that `add` was given, where that has the event now and says what it said: what is made of its
answer is the same, and does not turn earlier by time alone."""

Marks: TypeAlias = tuple[int, ...]
"""Ascending counts: what is made of a count turns where it gets to one of them from below, or falls below it."""


def level(marks: Marks, count: int) -> int:
    """How many of the marks a count has reached: of two counts of one level the same is made."""
    return bisect_right(marks, count)


class CellKind(Protocol):
    """How a cell is read as time passes, and how two become one. What it holds is lists, numbers and texts: it can be
    encoded at any point."""

    def advance(self, cell: Any, now_ms: int) -> Any:
        """The cell without what can never count again; None when nothing is left."""
        ...

    def answer(self, cell: Any, now_ms: int) -> Any:
        """The total of what counts now, as its aggregate has it; None for nothing. A cell may be None too."""
        ...

    def next_flip_ms(self, cell: Any, now_ms: int) -> int:
        """The next instant after now at which the answer, or what is made of it, can change with no event; 0 for
        never."""
        ...

    def merge(self, cell: Any, other: Any, now_ms: int) -> Any:
        """The cell of two profiles' events, as if one profile had had them all; None when nothing is left.

        The first may come back, changed; of the other, parts may be in it.

        Args:
            now_ms: The cell is brought to it; not before the clock of either profile.
        """
        ...


class ChainKind(CellKind, Protocol):
    """A cell of events that are looked at one by one."""

    def add(self, cell: Any, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Any]) -> Any:
        """The cell with one more event; the same object may come back, changed. None when the event changes nothing,
        `KEPT` when only the cell has changed. Everything that time alone has turned until now has been looked at.

        Args:
            at_ms: The event's own time.
            spans: When it counts; None for from now on, as far as the cell's window says.
            values: What the aggregate takes of it.
        """
        ...
