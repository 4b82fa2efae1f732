"""Chains of accounts whose `where` asks what the account was when an event came: how users keep events for them.

Of an event no more is kept than such a chain reads, and no event that fails what the user can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.definitions import ast
from app.definitions.conditions import every
from app.definitions.expressions import Expressions, trait_steps
from app.definitions.funnels import conjuncts, is_settled_at_arrival
from app.definitions.intake import source_test, window_of
from app.definitions.plan import CellPlan, Condition, Fold, Judged, Scene
from app.definitions.tree import nodes
from app.events.values import path_steps
from app.profiles.history import Recalled
from app.profiles.unjudged import Events, Unjudged

KEPT_AS = "~"
"""What the ids begin with under which users keep events, so that none is a cell's."""


def recalled(chains: Iterable[ast.Chain], kinds: Mapping[str, str]) -> Recalled:
    """What chains ask of what an account was.

    Args:
        kinds: Of the definitions that trait() can mean, by key.
    """
    traits: dict[str, int | None] = {}
    answers: dict[str, int | None] = {}
    for chain in chains:
        span_ms = window_of(chain.filters).far_ms
        for node in nodes(chain):
            if isinstance(node, ast.Trait):
                is_answer = node.key in kinds
                spans, name = (answers, node.key) if is_answer else (traits, trait_steps(node.key)[0])
                before = spans.get(name, 0)
                spans[name] = max(before, span_ms) if before is not None and span_ms is not None else None
    return Recalled(traits, answers)


def keeping(cell: CellPlan, chain: ast.Chain, folds: Mapping[str, Fold], kinds: Mapping[str, str]) -> Judged:
    """How users keep the events of an account's chain.

    Args:
        folds: By the event's name, how it gets into the account's cell.
        kinds: Of the definitions that trait() can mean, by key.
    """
    names = sorted(folds)
    kind = Events(window_of(chain.filters).far_ms)
    reduce = _Reduce(chain)
    keep = {name: _keep(kind, number, _test(chain, name, kinds), reduce) for number, name in enumerate(names)}
    kept = CellPlan(KEPT_AS + cell.id, kind, timed=False)
    return Judged(cell, tuple(folds[name] for name in names), kept, keep)


def _keep(kind: Events, number: int, passes: Condition, reduce: _Reduce) -> Fold:
    def fold(scene: Scene, held: Any) -> Any:
        if not passes(scene):
            return None
        event = Unjudged(scene.at_ms, scene.now, scene.arrival, number, *reduce.event(scene))
        return kind.add(held, event, scene.now)

    return fold


class _Reduce:
    """What a chain reads of events, by the first steps of paths."""

    def __init__(self, chain: ast.Chain) -> None:
        found = list(nodes(chain))
        paths = [each.path for each in found if isinstance(each, ast.Property | ast.Reducer) and each.path is not None]
        self._properties = dict.fromkeys(path_steps(each)[0] for each in paths)
        self._context = dict.fromkeys(path_steps(each.path)[0] for each in found if isinstance(each, ast.Context))
        self._has_source = any(isinstance(each, ast.Sources) for each in found)

    def event(self, scene: Scene) -> tuple[dict[str, Any], dict[str, Any], str | None]:
        """Properties, context and source of the event in a scene."""
        properties, context = scene.properties, scene.context
        return (
            {key: properties[key] for key in self._properties if key in properties},
            {key: context[key] for key in self._context if key in context},
            scene.source if self._has_source else None,
        )


def _test(chain: ast.Chain, name: str, kinds: Mapping[str, str]) -> Condition:
    """A closure that says whether an event of a name can get into any chain in here, as far as a user can tell."""
    expressions = Expressions(kinds, _no_cell)
    ways = [
        [
            *(source_test(each) for each in level.filters if isinstance(each, ast.Sources)),
            *(expressions.condition(each) for each in conjuncts(level) if _is_told_by_event(each)),
        ]
        for level in nodes(chain)
        if isinstance(level, ast.Chain) and level.event == name
    ]
    if not all(ways):
        return lambda scene: True
    tests = [every(way) for way in ways]
    return lambda scene: any(test(scene) for test in tests)


def _is_told_by_event(condition: ast.Condition) -> bool:
    return is_settled_at_arrival(condition) and not any(isinstance(each, ast.Trait) for each in nodes(condition))


def _no_cell(chain: ast.Chain, cap: int) -> CellPlan:
    raise AssertionError("what the event alone tells holds no chain")
