"""State, plan, now → answers that differ from what was last emitted."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, MutableMapping
from typing import Any

from app.definitions.plan import DefinitionPlan, Plan, Scene
from app.events.values import same

Emit = Callable[[DefinitionPlan, Any, Any], None]
"""Takes the definition, the new value and the one before."""


def evaluate(
    plan: Plan,
    scene: Scene,
    touched: Collection[int],
    anonymous: bool,
    emit: Emit,
    turns: MutableMapping[int, int] | None = None,
) -> int:
    """Evaluate what was touched, and what refers to it, as one consistent step.

    Definitions run in the order of dependence, so each reads what those before it have just become.

    Args:
        touched: Indexes of definitions, in any order.
        anonymous: Whether the profile lacks every identifying identifier.
        emit: Called for each change, in the order of dependence; the profile holds the new value by then.
        turns: When each definition that compares with the present turns next; 0 for never. Kept up to date here.
    Returns:
        The next instant after `scene.now` at which a comparison with the present can turn; 0 for never.
    """
    definitions, emitted = plan.definitions, scene.profile.emitted
    pending = sorted(set(touched)) if len(touched) > 1 else [*touched]  # one, at most instants
    next_ms = 0
    for index in pending:  # grows while it runs, only ever behind the current place
        definition = definitions[index]
        if definition.turns is not None:
            turns_ms = next_turn(definition, scene, scene.now)
            next_ms = earliest(next_ms, turns_ms)
            if turns is not None:
                turns[index] = turns_ms
        if definition.ready is not None and not definition.ready(scene):
            continue
        value, slot = definition.value(scene), definition.slot
        if definition.kind == "audience":
            previous = emitted.get(slot, False)
            value = value and (definition.include_anonymous_users or not anonymous)
            if value == previous:
                continue
        elif slot in emitted:
            previous = emitted[slot]
            if same(previous, value):
                continue
        else:
            previous = None
            if _stays_absent(definition, value):
                continue
        emitted[slot] = value
        emit(definition, value, previous)
        for reader in plan.readers[index]:
            if reader not in pending:
                insort(pending, reader)
    return next_ms


def earliest(one_ms: int, other_ms: int) -> int:
    """The earlier of two instants of which 0 means never."""
    if not one_ms or not other_ms:
        return one_ms or other_ms
    return min(one_ms, other_ms)


def next_turn(definition: DefinitionPlan, scene: Scene, after_ms: int) -> int:
    """The first instant after another at which a definition's own comparisons with the present turn; 0 for never."""
    if definition.turns is None:
        return 0
    return min([instant for instant in definition.turns(scene) if instant > after_ms], default=0)


def _stays_absent(definition: DefinitionPlan, value: Any) -> bool:
    return value is None or value == [] or (definition.is_count and value == 0)
