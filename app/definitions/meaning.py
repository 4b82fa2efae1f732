"""What a single definition says that makes no sense: comparisons that come out one way only, and empty windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

from app.definitions.ast import (
    And,
    Body,
    Chain,
    Comparison,
    Condition,
    DateComparison,
    Literal,
    Not,
    Or,
    Place,
    Quantified,
    Scalar,
    Trait,
    Where,
)
from app.definitions.outcomes import can_be_date, outcome
from app.definitions.printer import to_text
from app.definitions.reach import EVERYTHING, Empty, Reach, reach
from app.definitions.reasons import reason, shown, text_test_of_count
from app.definitions.shapes import shape_of


@dataclass(frozen=True, slots=True)
class Finding:
    at: Place
    found: str
    expected: str
    hint: str
    is_doubt: bool = False
    """Odd, but it may be meant."""


class Read(NamedTuple):
    """A trait(), and where it stands."""

    trait: Trait
    of_users: bool
    """Inside a quantifier, where it reads a user."""
    in_where: bool
    """Where it is what it was when an event was applied."""
    for_ever: bool
    """There, whether the outermost of the events around it can count whatever its age."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """Where a condition stands."""

    of_users: bool = False
    """Inside a quantifier, where trait() reads a user."""
    negated: bool = False
    """Whether the definition wants it to fail: inside NOT, or NONE."""
    parent: Reach = EVERYTHING
    """Of the event that the `where` around it looks at."""
    in_where: bool = False
    for_ever: bool = False
    """Whether the outermost of the events around it can count whatever its age."""


@dataclass(slots=True)
class Reader:
    """Reads one body; all it finds is in `findings`, in the order of the text as far as the tree keeps it."""

    own: Mapping[str, Body]
    """The definitions that trait() can mean, by key."""
    of_users: Mapping[str, Body]
    """And inside a quantifier."""
    findings: list[Finding] = field(default_factory=list)
    traits: list[Read] = field(default_factory=list)
    """Every trait()."""

    def read(self, body: Body) -> None:
        if isinstance(body, Chain):
            self._chain(body, _Scene())
        else:
            self._condition(body, _Scene())

    def _condition(self, condition: Condition, scene: _Scene) -> None:
        match condition:
            case And(conditions) | Or(conditions):
                for each in conditions:
                    self._condition(each, scene)
            case Not(inner):
                self._condition(inner, replace(scene, negated=not scene.negated))
            case Quantified(quantifier, inner):
                self._condition(inner, replace(scene, of_users=True, negated=scene.negated ^ (quantifier == "NONE")))
            case DateComparison():
                self._scalar(condition.left, scene)
                self._date_comparison(condition, scene)
            case Comparison():
                for side in (condition.left, *condition.arguments):
                    self._scalar(side, scene)
                self._comparison(condition, scene)

    def _scalar(self, scalar: Scalar, scene: _Scene) -> None:
        if isinstance(scalar, Chain):
            self._chain(scalar, scene)
        elif isinstance(scalar, Trait):
            self.traits.append(Read(scalar, scene.of_users, scene.in_where, scene.for_ever))

    def _chain(self, chain: Chain, scene: _Scene) -> None:
        ages = reach(chain, scene.parent)
        if isinstance(ages, Empty):
            expected = f"a window that an event can pass: {ages.reason}"
            self.findings.append(Finding(ages.filter.at, to_text(ages.filter), expected, ages.hint))
            ages = EVERYTHING
        for_ever = scene.for_ever if scene.in_where else ages.far_ms == inf
        for each in chain.filters:
            if isinstance(each, Where):
                inside = _Scene(scene.of_users, parent=ages, in_where=True, for_ever=for_ever)
                self._condition(each.condition, inside)

    # comparisons

    def _comparison(self, comparison: Comparison, scene: _Scene) -> None:
        known = self.of_users if scene.of_users else self.own
        left, *others = [shape_of(side, known) for side in (comparison.left, *comparison.arguments)]
        at, found = _place(comparison), shown(comparison)
        if isinstance(comparison.left, Literal) and all(isinstance(each, Literal) for each in comparison.arguments):
            expected = "an event, a trait or a property on one side: two values always compare the same"
            self.findings.append(Finding(at, found, expected, ""))
        elif (why := text_test_of_count(comparison, left)) is not None:
            self.findings.append(Finding(at, found, f"a comparison of numbers: {why[0]}", why[1]))
        else:
            result = outcome(comparison.comparator, left, others)
            if not result.can_hold or not result.can_fail:
                why = reason(comparison, (left, *others))
                self.findings.append(_one_way(at, found, why, holds=result.can_hold, negated=scene.negated))

    def _date_comparison(self, comparison: DateComparison, scene: _Scene) -> None:
        known = self.of_users if scene.of_users else self.own
        left = comparison.left
        side = to_text(left.reducer if isinstance(left, Chain) else left)
        found = side + to_text(comparison).removeprefix(to_text(left))
        at = left.reducer.at if isinstance(left, Chain) else left.at
        if not can_be_date(shape_of(left, known)):
            why = (f"{side} is no date", "compare a property or a trait that holds a date")
        elif comparison.duration_ms == 0 and comparison.comparator in ("within_last", "within_next"):
            why = ("0 seconds are no time to be in", "write a longer duration")
        else:
            return
        self.findings.append(_one_way(at, found, why, holds=False, negated=scene.negated))


def _one_way(at: Place, found: str, why: tuple[str, str], *, holds: bool, negated: bool) -> Finding:
    """A comparison that always comes out the same. To always hold may be meant, to never hold is of no use."""
    wanted = holds is not negated
    if negated:
        what = "something that can fail, inside NOT" if holds else "something that can hold, inside NOT"
    else:
        what = "something that can fail" if holds else "something that can hold"
    return Finding(at, found, f"{what}: {why[0]}", why[1], is_doubt=wanted)


def _place(comparison: Comparison) -> Place:
    """Of the first value among the arguments, which is where most of these are mended; else of the left side."""
    for each in comparison.arguments:
        if isinstance(each, Literal):
            return each.at
    left = comparison.left
    return left.reducer.at if isinstance(left, Chain) else left.at
