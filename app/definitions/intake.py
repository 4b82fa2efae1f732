"""How an event gets into the cell of a chain that looks at one event at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.definitions import ast
from app.definitions.conditions import every
from app.definitions.plan import Condition, Fold, Instants, Scene
from app.definitions.reducers import ONE, Observe
from app.profiles.cells import ChainKind, Span


@dataclass(frozen=True, slots=True)
class Window:
    """When an event of time `t` counts: [t + near_ms, t + far_ms)."""

    near_ms: int = 0
    far_ms: int | None = None
    """None for ever."""
    parent_ms: int | None = None
    """How long after its parent an event of a funnel may come; None for any time."""
    gap_ms: int | None = None
    """Of sessions, which are made of the events that pass everything else; None for none."""

    @property
    def is_plain(self) -> bool:
        """Whether everything counts from its time on, for ever."""
        return not self.near_ms and self.far_ms is None


def window_of(filters: Sequence[ast.Filter]) -> Window:
    """What is left of a chain's windows when they come on top of each other; sessions only as long as one is asked."""
    nears, gaps = [0], list[int]()
    fars, parents = list[int](), list[int]()
    for each in filters:
        match each:
            case ast.Within(duration_ms, of_parent):
                (parents if of_parent else fars).append(duration_ms)
            case ast.Between(near_ms, far_ms):
                nears.append(near_ms)
                fars.append(far_ms)
            case ast.ExpiresAfter(duration_ms):
                gaps.append(duration_ms)
    return Window(max(nears), min(fars, default=None), min(parents, default=None), min(gaps, default=None))


def source_test(node: ast.Sources) -> Condition:
    """A closure that says whether an event's source is not excluded."""
    exclude = frozenset(node.exclude)
    return lambda scene: scene.source not in exclude


def fold_of(
    kind: ChainKind, tests: list[Condition], turns: Instants | None, window: Window, observe: Observe | None
) -> Fold:
    """How an event gets into a cell, as one closure that asks no more than this chain needs.

    Args:
        tests: All have to hold for the event to count.
        turns: Where time alone can decide whether they do: when.
        observe: What is taken of the event; None for `ONE`.
    """
    where = every(tests) if tests else None
    add = kind.add
    if turns is not None:
        assert where is not None
        return _turning(kind, where, turns, window, observe)
    if observe is not None:
        return _observing(kind, where, observe)
    if where is None:
        return lambda scene, held: add(held, scene.at_ms, scene.now, None, ONE)
    return lambda scene, held: add(held, scene.at_ms, scene.now, None, ONE) if where(scene) else None


def _observing(kind: ChainKind, where: Condition | None, observe: Observe) -> Fold:
    add = kind.add
    if where is None:
        return lambda scene, held: add(held, scene.at_ms, scene.now, None, observe(scene))
    return lambda scene, held: add(held, scene.at_ms, scene.now, None, observe(scene)) if where(scene) else None


def _turning(kind: ChainKind, where: Condition, turns: Instants, window: Window, observe: Observe | None) -> Fold:
    def fold(scene: Scene, held: Any) -> Any:
        spans = _spans(where, turns, window, scene)
        if not spans:
            return None
        return kind.add(held, scene.at_ms, scene.now, spans, observe(scene) if observe is not None else ONE)

    return fold


def _spans(where: Condition, turns: Instants, window: Window, scene: Scene) -> list[Span]:
    """When an event passes a `where` that time alone can turn: [start, end) from now on, as far as its window goes."""
    now = scene.now
    begin = max(now, scene.at_ms + window.near_ms)
    end = scene.at_ms + window.far_ms if window.far_ms is not None else 0
    if window.far_ms is not None and end <= begin:
        return []
    edges = sorted({instant for instant in turns(scene) if instant > begin and (not end or instant < end)})
    spans: list[Span] = []
    for start, stop in zip([begin, *edges], [*edges, end], strict=True):
        scene.now = start
        if where(scene):
            if spans and spans[-1][1] == start:
                start = spans.pop()[0]
            spans.append((start, stop))
    scene.now = now
    return spans
