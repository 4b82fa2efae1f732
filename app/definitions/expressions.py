"""Expressions over the profile and the event that is being applied: closures over a `Scene`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, assert_never

from app.definitions import ast
from app.definitions.conditions import Conditions, Test
from app.definitions.plan import CellPlan, Condition, Instants, Scene, Value, Values
from app.definitions.printer import to_text
from app.definitions.reducers import finisher
from app.events.values import date_breakpoints, path_steps, value_at, values_at


class Expressions(Conditions[Scene]):
    """The compiler of one definition's expressions.

    Args:
        kinds: Definition key → audience or trait, for `trait('…')`.
        cell: Gives the cell of a chain whose count is compared with less than a cap (0: no cap).
        slots: Definition key → where its value is among those emitted, if not under the key itself.
    """

    def __init__(
        self,
        kinds: Mapping[str, str],
        cell: Callable[[ast.Chain, int], CellPlan],
        slots: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(kinds)
        self._cell = cell
        self._slots = slots

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
        match node:
            case ast.Literal(constant):
                return lambda scene: constant
            case ast.Trait(key) if key in self.kinds:
                blank, slot = (False if self.kinds[key] == "audience" else None), self._slots.get(key, key)
                return lambda scene: scene.profile.emitted.get(slot, blank)
            case ast.Trait(key):
                first, *rest = path_steps(key)
                if not rest:
                    return lambda scene: _written(scene, first)
                return lambda scene: value_at(_written(scene, first), rest)
            case ast.Property(path):
                first, *rest = path_steps(path)
                if not rest:
                    return lambda scene: scene.properties.get(first)
                return lambda scene: value_at(scene.properties.get(first), rest)
            case ast.Context(path):
                first, *rest = path_steps(path)
                return lambda scene: value_at(scene.context.get(first), rest)
            case ast.Chain():
                return self.chain(node, cap)
            case _:
                assert_never(node)

    def quantified(self, node: ast.Quantified) -> Test[Scene]:
        id_, quantifier = condition_id(node.condition), node.quantifier
        if quantifier == "ANY":
            return lambda scene: _satisfying(scene, id_) > 0
        if quantifier == "NONE":
            return lambda scene: _satisfying(scene, id_) == 0
        return lambda scene: 0 < _users(scene) == _satisfying(scene, id_)

    def chain(self, node: ast.Chain, cap: int) -> Value:
        """A closure that gives a chain's value from its cell."""
        plan = self._cell(node, cap)
        cell_id, answer, finish = plan.id, plan.kind.answer, finisher(node.reducer)
        if node.reducer.name == "count":  # most chains are
            return lambda scene: answer(scene.profile.cells.get(cell_id), scene.now) or 0
        return lambda scene: finish(answer(scene.profile.cells.get(cell_id), scene.now))


@lru_cache(maxsize=4_096)
def trait_steps(key: str) -> tuple[str, ...]:
    """The steps of a custom trait's path."""
    return tuple(path_steps(key))


def condition_id(condition: ast.Condition) -> str:
    """The id of what stands inside a quantifier, made of its text."""
    return blake2b(to_text(condition).encode(), digest_size=6).hexdigest()


def knows(condition: str) -> Condition:
    """A closure that says whether an account knows of all of its users whether they satisfy a condition."""
    return lambda scene: scene.profile.members is None or scene.profile.members.is_known(condition)


def _satisfying(scene: Scene, condition: str) -> int:
    members = scene.profile.members
    return members.satisfying(condition) if members is not None else 0


def _users(scene: Scene) -> int:
    members = scene.profile.members
    return members.count if members is not None else 0


def _written(scene: Scene, key: str) -> Any:
    held = scene.profile.traits.get(key)
    return held[0] if held is not None else None
