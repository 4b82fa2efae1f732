"""Expressions → closures over a `Scene`. A value that is one value stays one: lists are only made where `$` is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, assert_never

from app.definitions import ast
from app.definitions.plan import CellPlan, Condition, Instants, Scene, Value, Values
from app.events.values import (
    comparator,
    date_breakpoints,
    date_comparator,
    exact,
    has_each,
    path_steps,
    rounded,
    values_at,
)
from app.profiles.cells import CellKind

CAP_MAX = 1_024
"""A count that is compared with more than this keeps every time in its window."""

_ORDERINGS = frozenset({"equals", "differs", "greater_than", "at_least", "less_than", "at_most"})


@dataclass(frozen=True, slots=True)
class Expressions:
    """The compiler of one definition's expressions.

    Attributes:
        kinds: Definition key → audience or trait, for `trait('…')`.
        cell: Gives the cell of a chain whose count is compared with less than a cap (0: no cap).
    """

    kinds: Mapping[str, str]
    cell: Callable[[ast.Chain, int], CellPlan]

    def condition(self, node: ast.Condition) -> Condition:
        """A closure that says whether the condition holds."""
        match node:
            case ast.And(conditions):
                tests = [self.condition(each) for each in conditions]
                return lambda scene: all(test(scene) for test in tests)
            case ast.Or(conditions):
                tests = [self.condition(each) for each in conditions]
                return lambda scene: any(test(scene) for test in tests)
            case ast.Not(inner):
                test = self.condition(inner)
                return lambda scene: not test(scene)
            case ast.Comparison():
                return self._comparison(node)
            case ast.DateComparison(left, name, duration_ms):
                return self._date_comparison(left, name, duration_ms)
            case ast.Quantified():
                raise AssertionError("the checker refuses quantifiers")
            case _:
                assert_never(node)

    def _comparison(self, node: ast.Comparison) -> Condition:
        holds = comparator(node.comparator)
        scalars = (node.left, *node.arguments)
        if not any(map(_is_many, scalars)):
            left = self.value(node.left, _cap(node))
            if all(isinstance(each, ast.Literal) for each in node.arguments):
                constants = tuple(each.value for each in node.arguments if isinstance(each, ast.Literal))
                return lambda scene: holds(left(scene), constants)
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

    def _date_comparison(self, left: ast.Scalar, name: str, duration_ms: int) -> Condition:
        holds = date_comparator(name)
        if not _is_many(left):
            value = self.value(left)
            return lambda scene: holds(value(scene), duration_ms, scene.now)
        values = self.values(left)
        return lambda scene: any(holds(each, duration_ms, scene.now) for each in values(scene))

    def turns(self, nodes: Sequence[object]) -> Instants | None:
        """When the comparisons with the present among these nodes can turn; None when there are none."""
        dated = [
            (self.values(node.left), node.comparator, node.duration_ms)
            for node in nodes
            if isinstance(node, ast.DateComparison)
        ]
        if not dated:
            return None
        return lambda scene: [
            instant
            for values, name, duration_ms in dated
            for value in values(scene)
            for instant in date_breakpoints(name, value, duration_ms)
        ]

    def values(self, node: ast.Scalar) -> Values:
        """A closure that gives a scalar's values: one, or one for each element where its path has `$`."""
        match node:
            case ast.Property(path):
                steps = path_steps(path)
                return lambda scene: values_at(scene.properties, steps)
            case ast.Context(path):
                steps = path_steps(path)
                return lambda scene: values_at(scene.context, steps)
            case ast.Trait(key) if key not in self.kinds:
                first, *rest = path_steps(key)
                return lambda scene: values_at(_written(scene, first), tuple(rest))
            case _:
                value = self.value(node)
                return lambda scene: [value(scene)]

    def value(self, node: ast.Scalar, cap: int = 0) -> Value:
        """A closure that gives the one value of a scalar without `$`."""
        match node:
            case ast.Literal(constant):
                return lambda scene: constant
            case ast.Trait(key) if key in self.kinds:
                blank = False if self.kinds[key] == "audience" else None
                return lambda scene: scene.profile.emitted.get(key, blank)
            case ast.Trait(key):
                steps = path_steps(key)
                if len(steps) == 1:
                    (only,) = steps
                    return lambda scene: _written(scene, only)
                values = self.values(node)
                return lambda scene: values(scene)[0]
            case ast.Property(path):
                return _at(path, lambda scene: scene.properties)
            case ast.Context(path):
                return _at(path, lambda scene: scene.context)
            case ast.Chain():
                return self.chain(node, cap)
            case _:
                assert_never(node)

    def chain(self, node: ast.Chain, cap: int) -> Value:
        """A closure that gives a chain's value from its cell."""
        plan = self.cell(node, cap)
        return chain_value(plan.id, plan.kind, node.reducer.name == "sum")


def chain_value(cell_id: str, kind: CellKind, sums: bool) -> Value:
    """What a cell answers, as the language has it: a sum over nothing is null, a count of nothing is 0."""
    answer = kind.answer
    if not sums:
        return lambda scene: answer(scene.profile.cells.get(cell_id), scene.now)

    def value(scene: Scene) -> Any:
        total, observations_n = answer(scene.profile.cells.get(cell_id), scene.now)  # type: ignore[misc]
        return rounded(total) if observations_n else None

    return value


def observations(path: str) -> Callable[[Scene], list[Any]]:
    """The number-like values of a property, exactly; each element of a `$` is one."""
    steps = path_steps(path)
    return lambda scene: [
        number for value in values_at(scene.properties, steps) if (number := exact(value)) is not None
    ]


@lru_cache(maxsize=4_096)
def trait_steps(key: str) -> tuple[str, ...]:
    """The steps of a custom trait's path."""
    return tuple(path_steps(key))


def _written(scene: Scene, key: str) -> Any:
    held = scene.profile.traits.get(key)
    return held[0] if held is not None else None


def _at(path: str, root: Callable[[Scene], dict[str, Any]]) -> Value:
    steps = path_steps(path)
    if len(steps) == 1:
        (only,) = steps
        return lambda scene: root(scene).get(only)
    return lambda scene: values_at(root(scene), steps)[0]


def _is_many(node: ast.Scalar) -> bool:
    match node:
        case ast.Property(path) | ast.Context(path) | ast.Trait(path):
            return has_each(path_steps(path))
        case _:
            return False


def _cap(node: ast.Comparison) -> int:
    """How many of the newest times are enough to compare a count with a constant; 0 for all of them.

    A count that is greater than the constant by one compares like any greater one. Rounded up to a power of two, so
    that comparisons with neighbouring numbers share a cell.
    """
    if not isinstance(node.left, ast.Chain) or node.comparator not in _ORDERINGS:
        return 0
    (right,) = node.arguments
    if not isinstance(right, ast.Literal) or isinstance(right.value, (str, bool)) or not 0 <= right.value < CAP_MAX:
        return 0
    return 1 << (int(right.value) + 1).bit_length()
