"""When an answer can flip with no event, and what happens at those instants.

Time passes for a profile before a record is applied to it: every instant between its last record and this one at which
an answer can flip is a step of its own, in order. So it does not matter when a timer fires, only that it does.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.compute.evaluate import Emit, earliest, evaluate, next_turn
from app.definitions.plan import Plan, Scene


def pass_time(
    plan: Plan, scene: Scene, until_ms: int, anonymous: bool, emit: Emit, touched: Iterable[int] = ()
) -> None:
    """Every flip up to and including an instant, each at its own time; the profile's timer is armed for the next.

    `scene.now` is the flip's instant whenever `emit` is called.

    Args:
        touched: Definitions that turn at the very last instant, by what time has done elsewhere.
    """
    profile = scene.profile
    if profile.armed_due and profile.armed_due <= until_ms:
        # All are asked once, not at each step: steps come in runs (eight between two visits to a shop), and at most
        # of them one cell turns.
        cells, turns = _cells_due(plan, scene), _turns_due(plan, scene)
        while (now := _first(cells, turns)) and now <= until_ms:
            scene.now = now
            _step(plan, scene, cells, turns, anonymous, emit, touched if now == until_ms else ())
            if now == until_ms:
                touched = ()
        profile.armed_due = now
    scene.now = until_ms
    if touched:
        due_ms = evaluate(plan, scene, list(touched), anonymous, emit)
        profile.armed_due = earliest(profile.armed_due, due_ms)


def _first(cells: dict[str, int], turns: dict[int, int]) -> int:
    return min(filter(None, (*cells.values(), *turns.values())), default=0)


def _cells_due(plan: Plan, scene: Scene) -> dict[str, int]:
    """When each cell turns next, 0 for never; cells of definitions that are gone are dropped."""
    held, after_ms = scene.profile.cells, scene.profile.armed_due - 1
    for gone in [cell_id for cell_id in held if cell_id not in plan.cells]:
        del held[gone]
    known = [(plan.cells[cell_id], cell) for cell_id, cell in held.items()]
    return {each.id: each.kind.next_flip_ms(cell, after_ms) for each, cell in known if each.timed}


def _turns_due(plan: Plan, scene: Scene) -> dict[int, int]:
    """When each definition's own comparisons with the present turn next, 0 for never."""
    after_ms = scene.profile.armed_due - 1
    return {index: next_turn(plan.definitions[index], scene, after_ms) for index in plan.turning}


def _step(
    plan: Plan,
    scene: Scene,
    cells: dict[str, int],
    turns: dict[int, int],
    anonymous: bool,
    emit: Emit,
    others: Iterable[int],
) -> None:
    """One instant: what turns at it is looked at, and when that turns next; the rest stands as it is."""
    held, now = scene.profile.cells, scene.now
    touched = [*others, *(index for index, due_ms in turns.items() if due_ms == now)]
    for cell_id in [cell_id for cell_id, due_ms in cells.items() if due_ms == now]:
        kind = plan.cells[cell_id].kind
        left = kind.advance(held[cell_id], now)
        if left is None:
            del held[cell_id], cells[cell_id]
        else:
            held[cell_id] = left
            cells[cell_id] = kind.next_flip_ms(left, now)
        touched.extend(plan.by_cell[cell_id])
    # What a comparison with the present reads changes only with what its definition is evaluated for.
    evaluate(plan, scene, touched, anonymous, emit, turns)
