"""Events that cannot be judged where they are kept.

Whether an event counts for an account may depend on what the account was when it came, and a user does not know that.
So the user keeps the event itself, no more of it than the account looks at, and brings it along; the account judges it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from app.profiles.facts import Fact, Facts, drop_until, insert
from app.profiles.facts import merge as merge_facts
from app.profiles.history import Moment


class Unjudged(NamedTuple):
    """One event: it is kept as a list of these."""

    at_ms: int
    """Its own time."""
    since_ms: int
    """The instant of its user at which it was applied."""
    arrival: int
    name: int
    """Which of the names that are looked at is its."""
    properties: dict[str, Any]
    context: dict[str, Any]
    source: str | None

    @property
    def moment(self) -> Moment:
        """When it was applied."""
        return self.since_ms, self.arrival


@dataclass(frozen=True, slots=True)
class Events:
    """[at, since, arrival, name, properties, context, source] of each, sorted by its own time.

    Nothing is asked of such a cell but what is in it.
    """

    far_ms: int | None
    """How old an event may be to count at all; None for any age."""

    def add(self, cell: Facts | None, event: Unjudged, now_ms: int) -> Facts | None:
        """The cell with one more event; None where that can never count."""
        if self.far_ms is not None:
            if event.at_ms <= now_ms - self.far_ms:
                return None
            drop_until(cell or [], now_ms - self.far_ms)
        held = cell if cell is not None else []
        insert(held, [*event])
        return held

    def advance(self, cell: Facts, now_ms: int) -> Facts | None:
        if self.far_ms is not None:
            drop_until(cell, now_ms - self.far_ms)
        return cell or None

    def answer(self, cell: Facts | None, now_ms: int) -> None:
        return None

    def next_flip_ms(self, cell: Facts, now_ms: int) -> int:
        return 0

    def merge(self, cell: Facts, other: Facts, now_ms: int) -> Facts | None:
        merge_facts(cell, other)
        return self.advance(cell, now_ms)


def is_one(event: Fact) -> tuple[int, int, int]:
    """What tells an event from all others, whoever has folded the log: its time, its arrival, its name."""
    at_ms, _, arrival, name, *_ = event
    return at_ms, arrival, name
