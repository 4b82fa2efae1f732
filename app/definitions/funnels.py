"""Chains whose `where` holds chains → the cell of a funnel.

What a condition reads of its own event is known when the event arrives, so it is read then, into a slot: a whole clause
as one truth, a value that is compared with a parent's or a child's as that value. Conditions are closures over slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.definitions import ast
from app.definitions.conditions import Conditions, Test, Value, Values, every, is_many
from app.definitions.expressions import Expressions
from app.definitions.intake import Window, source_test, window_of
from app.definitions.plan import CellPlan, Condition, Fold, Scene
from app.definitions.printer import to_text
from app.definitions.reducers import ONE, Observe, aggregate, finisher, observer
from app.definitions.tree import nodes
from app.events.values import date_breakpoints, date_comparator
from app.profiles.facts import Fact
from app.profiles.funnels import Funnel, Look, Step

Read = Callable[[Scene], Any]
_SINKS = frozenset({"greater_than", "at_least"})
_CAPS = frozenset({"less_than", "at_most"})


@dataclass
class _Level:
    """A chain while it is compiled: what has to be read of its events when they arrive."""

    chain: ast.Chain
    window: Window
    parent: _Level | None
    tests: list[Condition] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    slots: dict[str, int] = field(default_factory=dict)
    observe: Observe | None = None
    index: int = 0

    def slot(self, name: str, read: Callable[[], Read]) -> int:
        """The slot of what is read under a name; equal texts share one."""
        if name not in self.slots:
            self.slots[name] = len(self.reads)
            self.reads.append(read())
        return self.slots[name]

    @property
    def ends_ms(self) -> Iterator[int]:
        """How old an event may be to count, of this chain and of those around it."""
        if self.window.far_ms is not None:
            yield self.window.far_ms
        if self.parent is not None:
            yield from self.parent.ends_ms

    @property
    def reach_ms(self) -> int | None:
        """How much older than an event of this chain the outermost parent can be; None for any."""
        if self.parent is None:
            return 0
        above_ms = self.parent.reach_ms
        return None if above_ms is None or self.window.parent_ms is None else above_ms + self.window.parent_ms

    def taker(self) -> Callable[[Scene], Fact | None]:
        """A closure that gives the fact of an event; None when it can never count."""
        passes = every(self.tests) if self.tests else None
        observe, needs_values, reads = self.observe, self.window.gap_ms is None, self.reads

        def take(scene: Scene) -> Fact | None:
            if passes is not None and not passes(scene):
                return None
            values = observe(scene) if observe is not None else ONE
            if not values and needs_values:
                return None
            return [scene.at_ms, [read(scene) for read in reads], [*values]]

        return take


class FunnelCompiler:
    """The compiler of one funnel."""

    def __init__(self, kinds: Mapping[str, str], slots: Mapping[str, str]) -> None:
        self._kinds = kinds
        self._slots = slots
        self._levels: list[_Level] = []
        self._steps: dict[int, Step] = {}

    def compile(self, chain: ast.Chain) -> tuple[Funnel, dict[str, Fold]]:
        """The cell's kind, and how events get into it, by their name."""
        self.step(chain, None, 0)
        top = self._levels[0]
        late = [each for each in conjuncts(top.chain) if not is_settled_at_arrival(each)]
        funnel = Funnel(
            steps=tuple(self._steps[index] for index in range(len(self._steps))),
            reach_ms=tuple(level.reach_ms for level in self._levels),
            stays_in=all(_lasts(each, True) for each in late),
            stays_out=all(_lasts(each, False) for each in late),
        )
        names = dict.fromkeys(level.chain.event for level in self._levels)
        return funnel, {name: self._fold(funnel, name) for name in names}

    def _fold(self, funnel: Funnel, name: str) -> Fold:
        takers = [(level.index, level.taker()) for level in self._levels if level.chain.event == name]

        def fold(scene: Scene, held: Any) -> Any:
            facts = [(index, fact) for index, take in takers if (fact := take(scene)) is not None]
            return funnel.add(held, scene.now, facts) if facts else None

        return fold

    def step(self, chain: ast.Chain, parent: _Level | None, cap: int) -> Step:
        """One chain, and those in its `where`.

        Args:
            cap: As many of its events are enough; 0 for all.
        """
        level = _Level(chain, window_of(chain.filters), parent, index=len(self._levels))
        self._levels.append(level)
        level.observe = observer(chain.reducer)
        now = Expressions(self._kinds, _no_cell, self._slots)
        later = Deferred(self, level, now)
        level.tests += [source_test(each) for each in chain.filters if isinstance(each, ast.Sources)]
        tests: list[Test[Look]] = []
        for condition in conjuncts(chain):
            if is_settled_at_arrival(condition):
                level.tests.append(now.condition(condition))
            else:
                tests.append(later.condition(condition))
        window = level.window
        cap = cap if chain.reducer.name == "count" and window.gap_ms is None else 0
        newest = cap > 0 and not tests and window.parent_ms is None and not window.near_ms
        step = Step(
            index=level.index,
            aggregate=aggregate(chain.reducer),
            where=every(tests) if tests else None,
            near_ms=window.near_ms,
            far_ms=window.far_ms,
            parent_ms=window.parent_ms,
            gap_ms=window.gap_ms,
            cap=cap,
            newest=newest,
            forget_ms=min(level.ends_ms, default=None),
            pairwise=level.index > 0 and parent is self._levels[0] and not any(map(_can_turn, conjuncts(chain))),
            join=self.join(level, later),
        )
        self._steps[level.index] = step
        return step

    def join(self, level: _Level, later: Deferred) -> tuple[int, int] | None:
        """The slots of a property of its own and of one of its parent that have to be equal, if there are such."""
        for condition in conjuncts(level.chain):
            match condition:
                case ast.Comparison(ast.Property() as one, "equals", (ast.Property() as other,)):
                    own, parents = (other, one) if one.of_parent else (one, other)
                case _:
                    continue
            if level.parent is None or own.of_parent or not parents.of_parent or is_many(own) or is_many(parents):
                continue
            return later.slot_of(level, own), later.slot_of(level.parent, ast.Property(parents.path))
        return None


class Deferred(Conditions[Look]):
    """The compiler of conditions that are asked after their event has arrived, over its slots.

    Args:
        level: Of the event that they are about.
        now: Compiles what is read when it arrives.
    """

    def __init__(self, compiler: FunnelCompiler, level: _Level, now: Expressions) -> None:
        super().__init__(now.kinds)
        self._compiler = compiler
        self._level = level
        self._now = now

    def condition(self, node: ast.Condition) -> Test[Look]:
        if not is_settled_at_arrival(node):
            return super().condition(node)
        place = self._level.slot(f"? {to_text(node)}", lambda: self._now.condition(node))
        return lambda look: bool(look.fact[1][place])

    def date_comparison(self, node: ast.DateComparison) -> Test[Look]:
        holds, name, duration_ms = date_comparator(node.comparator), node.comparator, node.duration_ms
        values = self.values(node.left)

        def test(look: Look) -> bool:
            found = False
            for value in values(look):
                for edge_ms in date_breakpoints(name, value, duration_ms):
                    look.note(edge_ms)
                found = found or holds(value, duration_ms, look.now)
            return found

        return test

    def values(self, node: ast.Scalar) -> Values[Look]:
        value = self.value(node)
        if is_many(node):
            return value
        return lambda look: [value(look)]

    def value(self, node: ast.Scalar, cap: int = 0) -> Value[Look]:
        """A scalar's value; where its path has `$`, the list of its values."""
        match node:
            case ast.Literal(constant):
                return lambda look: constant
            case ast.Chain():
                total, finish = self._compiler.step(node, self._level, cap).total, finisher(node.reducer)
                return lambda look: finish(total(look))
            case ast.Property(path, True):
                parent = self._level.parent
                assert parent is not None, "the parser allows property(parent:) only in a funnel"
                of_parent = self.slot_of(parent, ast.Property(path))
                return lambda look: look.parent[1][of_parent]
        own = self.slot_of(self._level, node)
        return lambda look: look.fact[1][own]

    def slot_of(self, level: _Level, node: ast.Scalar) -> int:
        """Where a fact of a level has what is read of its event."""
        return level.slot(to_text(node), lambda: (self._now.values if is_many(node) else self._now.value)(node))


def is_funnel(chain: ast.Chain) -> bool:
    """Whether a chain's events are looked at together with others."""
    return any(isinstance(node, ast.Chain) for each in chain.filters for node in nodes(each))


def is_settled_at_arrival(node: ast.Condition) -> bool:
    """Whether a condition can be decided once and for all when its event arrives."""
    return not any(
        isinstance(each, ast.Chain | ast.DateComparison) or (isinstance(each, ast.Property) and each.of_parent)
        for each in nodes(node)
    )


def conjuncts(chain: ast.Chain) -> Sequence[ast.Condition]:
    """The conditions of a chain that all have to hold."""
    found: list[ast.Condition] = []
    waiting = [each.condition for each in chain.filters if isinstance(each, ast.Where)]
    while waiting:
        condition = waiting.pop(0)
        if isinstance(condition, ast.And):
            waiting = [*condition.conditions, *waiting]
        else:
            found.append(condition)
    return found


def _can_turn(node: ast.Condition) -> bool:
    """Whether time or another event can turn it, once its event and its parent are there."""
    return any(isinstance(each, ast.Chain | ast.DateComparison) for each in nodes(node))


def _lasts(node: ast.Condition, outcome: bool) -> bool:
    """Whether a condition that has this outcome keeps it, whatever comes: counts that nothing leaves only grow."""
    if not _can_turn(node):
        return True
    match node:
        case ast.Not(inner):
            return _lasts(inner, not outcome)
        case ast.And(conditions) | ast.Or(conditions):
            return all(_lasts(each, outcome) for each in conditions)
        case ast.Comparison(ast.Chain() as chain, name, (ast.Literal(value),)) if _only_grows(chain):
            if name in _SINKS:
                return outcome
            if name in _CAPS:
                return not outcome
            if name in ("equals", "differs") and type(value) is int and value == 0:
                return outcome is (name == "differs")
    return False


def _only_grows(chain: ast.Chain) -> bool:
    window = window_of(chain.filters)
    return (
        chain.reducer.name in ("count", "unique_count")
        and window.far_ms is None
        and window.gap_ms is None
        and all(_lasts(each, True) for each in conjuncts(chain))
    )


def _no_cell(chain: ast.Chain, cap: int) -> CellPlan:
    raise AssertionError("what is read when an event arrives holds no chain")
