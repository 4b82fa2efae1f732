"""What an account was, as far as `where` reads that of events which the account hears of later.

A value is noted when it changes, with the one before it: what has never changed takes nothing, and was what it is.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeAlias

Moment: TypeAlias = tuple[int, int]
"""An instant in ms, and the order of arrival at it; 0 for what time does, which comes first."""

Values: TypeAlias = list[list[Any]]
"""[instant, order of arrival at it, value] from when on it was that, in order."""

Spans: TypeAlias = Mapping[str, int | None]
"""How old in ms an event can be that asks; None for any age."""

_moment = itemgetter(0, 1)
_at_ms = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What `where` asks of what an account was: of custom traits by the first step of their path, of definitions by
    key."""

    traits: Spans = field(default_factory=dict)
    answers: Spans = field(default_factory=dict)


@dataclass(slots=True)
class History:
    """What an account was, of what is recalled and has changed since it is."""

    traits: dict[str, Values] = field(default_factory=dict)
    answers: dict[str, Values] = field(default_factory=dict)
    is_forgetting: bool = False
    """Whether a user is to be forgotten, whose words may be among the answers."""

    def to_list(self) -> list[Any]:
        return [self.traits, self.answers, *([True] if self.is_forgetting else [])]

    def forget_words(self) -> None:
        """Of what the answers were before, drop all but truths and numbers: nobody can tell whose words it was."""
        self.is_forgetting = False
        for values in self.answers.values():
            for entry in values[:-1]:
                if has_words(entry[2]):
                    entry[2] = None

    def only(self, recalled: Recalled) -> History | None:
        """What of it is still asked; None for nothing."""
        traits = {key: values for key, values in self.traits.items() if key in recalled.traits}
        answers = {key: values for key, values in self.answers.items() if key in recalled.answers}
        return History(traits, answers, self.is_forgetting) if traits or answers or self.is_forgetting else None


def has_words(value: Any) -> bool:
    """Whether a value can hold what somebody has written: truths and numbers are nobody's."""
    return value is not None and not isinstance(value, bool | int | float)


def note(values: Values, before: Any, value: Any, moment: Moment, span_ms: int | None) -> None:
    """A value has become another at a moment.

    Of one instant they stand in the order in which they came to be, whatever the order of arrival says.

    Args:
        before: What it was; None for nothing.
        span_ms: How old events can be that ask.
    """
    at_ms, arrival = moment
    if not values and before is not None:
        values.append([0, 0, before])
    if values:
        at_ms, arrival = max(_moment(values[-1]), moment)
    values.append([at_ms, arrival, value])
    if span_ms is not None:
        del values[: max(0, bisect_right(values, at_ms - span_ms, key=_at_ms) - 1)]


def value_at(values: Values | None, moment: Moment, now: Any) -> Any:
    """What something was just before a moment; None for nothing.

    Args:
        now: What it is.
    """
    if not values:
        return now
    place = bisect_left(values, moment, key=_moment)
    return values[place - 1][2] if place else None
