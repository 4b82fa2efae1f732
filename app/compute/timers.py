"""When an answer can flip with no event, and what happens at those instants.

Time passes for a profile before a record is applied to it: every instant between its last record and this one at which
an answer can flip is a step of its own, in order. So it does not matter when a timer fires, only that it does.
"""

from __future__ import annotations

from app.compute.evaluate import Emit, earliest, evaluate
from app.definitions.plan import Plan, Scene


def pass_time(plan: Plan, scene: Scene, until_ms: int, anonymous: bool, emit: Emit) -> None:
    """Every flip up to and including an instant, each at its own time; the profile's timer is armed for the next.

    `scene.now` is the flip's instant whenever `emit` is called.
    """
    profile = scene.profile
    while profile.armed_due and profile.armed_due <= until_ms:
        scene.now = profile.armed_due
        profile.armed_due = _step(plan, scene, anonymous, emit)
    scene.now = until_ms


def _step(plan: Plan, scene: Scene, anonymous: bool, emit: Emit) -> int:
    """One instant: what turns at it is looked at, of the rest only when it turns next."""
    profile, now = scene.profile, scene.now
    touched: list[int] = []
    next_ms = 0
    for cell_id, held in list(profile.cells.items()):
        cell = plan.cells.get(cell_id)
        if cell is None:  # of a definition that is gone
            del profile.cells[cell_id]
            continue
        if not cell.timed:
            continue
        # Every earlier instant has had its own step, so what does not turn now stands as it is.
        due_ms = cell.kind.next_flip_ms(held, now - 1)
        if due_ms == now:
            left = cell.kind.advance(held, now)
            touched.extend(plan.by_cell[cell_id])
            if left is None:
                del profile.cells[cell_id]
                continue
            profile.cells[cell_id] = left
            due_ms = cell.kind.next_flip_ms(left, now)
        next_ms = earliest(next_ms, due_ms)
    # Behind the cells: a comparison may read one, and to be read at an instant a cell is brought to it.
    turning, turns_ms = _turning(plan, scene)
    due_ms = evaluate(plan, scene, [*touched, *turning], anonymous, emit)
    return earliest(earliest(next_ms, turns_ms), due_ms)


def _turning(plan: Plan, scene: Scene) -> tuple[list[int], int]:
    """Definitions whose own comparisons with the present turn now; and when the others' turn next, 0 for never."""
    touched: list[int] = []
    next_ms = 0
    for index in plan.turning:
        turns = plan.definitions[index].turns
        assert turns is not None
        for instant in turns(scene):
            if instant == scene.now:
                touched.append(index)
            elif instant > scene.now:
                next_ms = earliest(next_ms, instant)
    return touched, next_ms
