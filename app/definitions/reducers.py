"""Reducers: what each takes of an event, which aggregate takes that together, and what its total says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from app.definitions import ast
from app.definitions.plan import Scene, Values
from app.events.values import compact_json, exact, has_each, path_steps, plain_number, rounded, text, values_at
from app.profiles.aggregates import Aggregate, Counted, Extreme, Summed, Texts, as_number

Observe = Callable[[Scene], Sequence[Any]]
ONE = (1,)
"""What a count takes of every event."""

_EXTREMES = {"min": False, "max": True, "first": False, "last": True}


def shared(reducer: ast.Reducer) -> ast.Reducer:
    """The reducer that stands for all that remember the same: their chains can share a cell."""
    match reducer.name:
        case "avg":
            return ast.Reducer("sum", reducer.path)
        case "unique_count":
            return ast.Reducer("unique", reducer.path)
        case "mode" if not _whole_arrays(reducer):
            return ast.Reducer("unique", reducer.path)
        case "min" | "max" if reducer.as_type == "number":
            return ast.Reducer(reducer.name, reducer.path)
        case "mode":
            return ast.Reducer("mode", reducer.path, "array", 1)
    return reducer


def aggregate(reducer: ast.Reducer) -> Counted | Summed | Texts | Extreme:
    """How a reducer's values are taken together."""
    match reducer.name:
        case "count":
            return Counted()
        case "sum" | "avg":
            return Summed()
        case "min" | "max":
            return Extreme("texts" if reducer.as_type == "string" else "numbers", _EXTREMES[reducer.name])
        case "first" | "last":
            return Extreme("moments", _EXTREMES[reducer.name])
    return Texts()


def observer(reducer: ast.Reducer) -> Observe | None:
    """A closure that gives what a reducer takes of the event in a scene; None for a count, which takes `ONE`."""
    if reducer.path is None:
        return None
    steps = path_steps(reducer.path)
    present = _present(steps)
    match reducer.name:
        case "sum" | "avg":
            return _numbers(present)
        case "min" | "max":
            return _best(aggregate(reducer), (_texts if reducer.as_type == "string" else _numbers)(present))
        case "first" | "last":
            place = -1 if reducer.name == "last" else 0
            return lambda scene: [[scene.at_ms, scene.arrival, value] for value in present(scene)[place:][:1]]
    if _whole_arrays(reducer):
        return lambda scene: [compact_json(values_at(scene.properties, steps))] if present(scene) else ()
    return _texts(present)


def finisher(reducer: ast.Reducer) -> Callable[[Any], Any]:
    """A closure that gives the reducer's value from its aggregate's total, or from None."""
    match reducer.name:
        case "count":
            return lambda total: total or 0
        case "sum":
            return lambda total: None if total is None else rounded(as_number(total[0]))
        case "avg":
            return lambda total: None if total is None else rounded(as_number(total[0]), total[1])
        case "min" | "max" if reducer.as_type == "string":
            return lambda total: total
        case "min" | "max":
            return lambda total: None if total is None else plain_number(as_number(total))
        case "first" | "last":
            return lambda total: None if total is None else total[2]
        case "unique":
            return lambda total: None if total is None else sorted(total)
        case "unique_count":
            return lambda total: len(total or ())
    minimum = reducer.minimum or 1
    return lambda total: _mode(total, minimum)


def _mode(total: dict[str, int] | None, minimum: int) -> str | None:
    most = max(total.values()) if total else 0
    return min(word for word, times in (total or {}).items() if times == most) if most >= minimum else None


def _whole_arrays(reducer: ast.Reducer) -> bool:
    """Whether what `$` would take apart counts as one text per event."""
    return reducer.as_type == "array" and reducer.path is not None and has_each(path_steps(reducer.path))


def _present(steps: Sequence[str]) -> Values:
    """A closure that gives what there is at a path, without nulls."""
    if len(steps) > 1 or has_each(steps):
        return lambda scene: [value for value in values_at(scene.properties, steps) if value is not None]
    (only,) = steps

    def one(scene: Scene) -> list[Any]:
        value = scene.properties.get(only)
        return [] if value is None else [value]

    return one


def _numbers(present: Values) -> Values:
    return lambda scene: [number for value in present(scene) if (number := exact(value)) is not None]


def _texts(present: Values) -> Values:
    return lambda scene: [text(value) for value in present(scene)]


def _best(kind: Aggregate, values: Values) -> Observe:
    """Of an event only its best value matters."""
    assert isinstance(kind, Extreme)

    def observe(scene: Scene) -> Sequence[Any]:
        found = values(scene)
        return found if len(found) < 2 else (kind.best(found),)

    return observe
