"""Conditions → closures. What a scalar reads is its subclass's; a value that is one value stays one: lists are only
made where `$` is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import ceil, floor
from typing import Any, Generic, Protocol, TypeVar, assert_never

from app.definitions import ast
from app.events.values import Json, comparator, comparator_with, date_comparator, has_each, path_steps
from app.profiles.cells import Marks

CAP_MAX = 1_024
"""A count that is compared with more than this keeps every time in its window."""


class Timed(Protocol):
    """What every condition can see: the present, in ms."""

    now: int


S = TypeVar("S", bound=Timed)
Test = Callable[[S], bool]
Value = Callable[[S], Any]
Values = Callable[[S], list[Any]]


class Conditions(ABC, Generic[S]):
    """The compiler of one definition's conditions over what an `S` can see.

    Args:
        kinds: Definition key → audience or trait, for `trait('…')`.
    """

    def __init__(self, kinds: Mapping[str, str]) -> None:
        self.kinds = kinds

    @abstractmethod
    def value(self, node: ast.Scalar, cap: int = 0) -> Value[S]:
        """A closure that gives the one value of a scalar without `$`.

        Args:
            cap: Above 0, the value is only compared with less, should it be a count.
        """

    @abstractmethod
    def values(self, node: ast.Scalar) -> Values[S]:
        """A closure that gives a scalar's values: one, or one for each element where its path has `$`."""

    def condition(self, node: ast.Condition) -> Test[S]:
        """A closure that says whether the condition holds."""
        match node:
            case ast.And(conditions):
                return every([self.condition(each) for each in conditions])
            case ast.Or(conditions):
                return some([self.condition(each) for each in conditions])
            case ast.Not(inner):
                test = self.condition(inner)
                return lambda scene: not test(scene)
            case ast.Comparison():
                return self._comparison(node)
            case ast.DateComparison():
                return self.date_comparison(node)
            case ast.Quantified():
                return self.quantified(node)
            case _:
                assert_never(node)

    def quantified(self, node: ast.Quantified) -> Test[S]:
        """A closure that says whether it holds of an account's users."""
        raise AssertionError("the parser allows quantifiers only in definitions of accounts, outside where")

    def _comparison(self, node: ast.Comparison) -> Test[S]:
        if all(isinstance(each, ast.Literal) for each in node.arguments):
            return self._comparison_with(node, [each.value for each in node.arguments if isinstance(each, ast.Literal)])
        holds = comparator(node.comparator)
        if not any(map(is_many, (node.left, *node.arguments))):
            left = self.value(node.left, count_cap(node))
            rights = [self.value(each) for each in node.arguments]
            return lambda scene: holds(left(scene), [right(scene) for right in rights])
        lefts = self.values(node.left)
        many = [self.values(each) for each in node.arguments]
        if node.comparator == "omits":
            contains = comparator("contains")
            return lambda scene: (
                not any(
                    contains(value, rights) for value, *rights in product(lefts(scene), *(each(scene) for each in many))
                )
            )
        return lambda scene: any(
            holds(value, rights) for value, *rights in product(lefts(scene), *(each(scene) for each in many))
        )

    def _comparison_with(self, node: ast.Comparison, constants: Sequence[Json]) -> Test[S]:
        if not is_many(node.left):
            left, passes = self.value(node.left, count_cap(node)), comparator_with(node.comparator, constants)
            return lambda scene: passes(left(scene))
        lefts = self.values(node.left)
        if node.comparator == "omits":
            contains = comparator_with("contains", constants)
            return lambda scene: not any(map(contains, lefts(scene)))
        passes = comparator_with(node.comparator, constants)
        return lambda scene: any(map(passes, lefts(scene)))

    def date_comparison(self, node: ast.DateComparison) -> Test[S]:
        """A closure that compares a date with the present."""
        holds, duration_ms = date_comparator(node.comparator), node.duration_ms
        if not is_many(node.left):
            value = self.value(node.left)
            return lambda scene: holds(value(scene), duration_ms, scene.now)
        values = self.values(node.left)
        return lambda scene: any(holds(each, duration_ms, scene.now) for each in values(scene))


def every(tests: list[Test[S]]) -> Test[S]:
    """One test of several, which all have to hold."""
    first, *rest = tests
    if not rest:
        return first
    others = every(rest)
    return lambda scene: first(scene) and others(scene)  # half of the time of all() over a generator


def some(tests: list[Test[S]]) -> Test[S]:
    """One test of several, of which one has to hold."""
    first, *rest = tests
    if not rest:
        return first
    others = some(rest)
    return lambda scene: first(scene) or others(scene)


def is_many(node: ast.Scalar) -> bool:
    """Whether a scalar can have several values."""
    match node:
        case ast.Property(path) | ast.Context(path) | ast.Trait(path):
            return has_each(path_steps(path))
        case _:
            return False


def count_marks(node: ast.Comparison) -> Marks | None:
    """The counts at which the comparison of a count with a constant turns; None for any other comparison."""
    left, *arguments = node.left, *node.arguments
    if not isinstance(left, ast.Chain) or left.reducer.name != "count" or len(arguments) != 1:
        return None
    (right,) = arguments
    if not isinstance(right, ast.Literal) or isinstance(right.value, (str, bool)):
        return None
    match node.comparator:
        case "at_least" | "less_than":
            turns = [ceil(right.value)]
        case "greater_than" | "at_most":
            turns = [floor(right.value) + 1]
        case "equals" | "differs":
            turns = [int(right.value), int(right.value) + 1] if right.value == int(right.value) else []
        case _:
            return None
    return tuple(count for count in turns if count > 0)


def count_cap(node: ast.Comparison) -> int:
    """How many of the newest times are enough to compare a count with a constant; 0 for all of them.

    A count that has reached the last mark compares like any greater one. Rounded up to a power of two, so that
    comparisons with neighbouring numbers share a cell.
    """
    marks = count_marks(node)
    if marks is None:
        return 0
    enough = max(marks, default=1)
    return max(2, 1 << (enough - 1).bit_length()) if enough <= CAP_MAX else 0
