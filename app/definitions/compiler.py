"""Tree → plan: expressions become closures, and chains become cells that are shared between equal ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from hashlib import blake2b
from typing import Any

from app.definitions import ast
from app.definitions.expressions import Expressions, observations, trait_steps
from app.definitions.model import Definition
from app.definitions.plan import CellPlan, Condition, DefinitionPlan, Instants, Plan
from app.definitions.printer import to_text
from app.profiles.cells import CellKind, Count, Spans, Sum, WindowCount, WindowSum


def compile_plan(ready: Sequence[tuple[Definition, ast.Body]]) -> Plan:
    """The plan of checked definitions, given in the order of dependence (`app.definitions.checker`)."""
    versions = "|".join(f"{definition.kind}:{definition.key}:{definition.version}" for definition, _ in ready)
    builder = _Builder({definition.key: definition.kind for definition, _ in ready})
    for definition, body in ready:
        builder.add(definition, body)
    return builder.plan(_short_hash(versions))


@dataclass
class _Builder:
    kinds: dict[str, str]
    definitions: list[DefinitionPlan] = field(default_factory=list)
    cells: dict[str, CellPlan] = field(default_factory=dict)
    by_event: dict[str, list[CellPlan]] = field(default_factory=lambda: defaultdict(list))
    by_cell: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    by_trait: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    by_key: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, definition: Definition, body: ast.Body) -> None:
        index = len(self.definitions)
        expressions = Expressions(self.kinds, lambda chain, cap: self._cell(chain, cap, index))
        value = expressions.chain(body, 0) if isinstance(body, ast.Chain) else expressions.condition(body)
        turns = expressions.turns(_outside_where(body))
        self.definitions.append(
            DefinitionPlan(
                index=index,
                key=definition.key,
                kind=definition.kind,
                id=definition.id,
                version=definition.version,
                value=value,
                include_anonymous_users=definition.include_anonymous_users,
                is_count=isinstance(body, ast.Chain) and body.reducer.name in ("count", "unique_count"),
                turns=turns,
            )
        )
        for node in _outside_where(body):
            if isinstance(node, ast.Trait):
                if node.key in self.kinds:
                    _once(self.by_key[node.key], index)
                else:
                    _once(self.by_trait[trait_steps(node.key)[0]], index)

    def _cell(self, chain: ast.Chain, cap: int, reader: int) -> CellPlan:
        turning = any(isinstance(node, ast.DateComparison) for each in chain.filters for node in _nodes(each))
        windows = [each.duration_ms for each in chain.filters if isinstance(each, ast.Within)]
        window_ms = min(windows, default=None)
        capped = cap if window_ms is not None and not turning and chain.reducer.name == "count" else 0
        cell_id = blake2b(f"{to_text(chain)}|{capped}".encode(), digest_size=6).hexdigest()
        plan = self.cells.get(cell_id)
        if plan is None:
            plan = self._new_cell(cell_id, chain, window_ms, capped, turning)
            self.cells[cell_id] = plan
            self.by_event[chain.event].append(plan)
        _once(self.by_cell[cell_id], reader)
        return plan

    def _new_cell(self, cell_id: str, chain: ast.Chain, window_ms: int | None, cap: int, turning: bool) -> CellPlan:
        conditions = [each.condition for each in chain.filters if isinstance(each, ast.Where)]
        expressions = Expressions(self.kinds, _no_chain)
        tests = [expressions.condition(each) for each in conditions]
        return CellPlan(
            id=cell_id,
            kind=_kind(chain.reducer.name, window_ms, cap, turning),
            where=_all(tests),
            turns=_instants(expressions, conditions) if turning else None,
            window_ms=window_ms,
            observe=observations(chain.reducer.path) if chain.reducer.path is not None else None,
            timed=window_ms is not None or turning,
        )

    def plan(self, version: int) -> Plan:
        return Plan(
            version=version,
            definitions=tuple(self.definitions),
            cells=self.cells,
            cells_by_event={event: tuple(cells) for event, cells in self.by_event.items()},
            by_cell={cell: tuple(readers) for cell, readers in self.by_cell.items()},
            by_trait={step: tuple(readers) for step, readers in self.by_trait.items()},
            readers=tuple(tuple(self.by_key.get(each.key, ())) for each in self.definitions),
            turning=tuple(each.index for each in self.definitions if each.turns is not None),
        )


def _short_hash(text: str) -> int:
    # Never 0, which is what a profile has that no plan has evaluated.
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big") or 1


def _kind(reducer: str, window_ms: int | None, cap: int, turning: bool) -> CellKind:
    if turning:
        return Spans(sums=reducer == "sum")
    if reducer == "sum":
        return WindowSum(window_ms) if window_ms is not None else Sum()
    return WindowCount(window_ms, cap) if window_ms is not None else Count()


def _all(tests: Sequence[Condition]) -> Condition | None:
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda scene: all(test(scene) for test in tests)


def _instants(expressions: Expressions, conditions: Sequence[ast.Condition]) -> Instants | None:
    return expressions.turns([node for condition in conditions for node in _nodes(condition)])


def _no_chain(chain: ast.Chain, cap: int) -> CellPlan:
    raise AssertionError("the checker refuses a chain inside where")


def _once(indexes: list[int], index: int) -> None:
    if index not in indexes:
        indexes.append(index)


def _nodes(node: object) -> Iterator[object]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _outside_where(node: object) -> list[object]:
    """The nodes that are evaluated for the profile as a whole, not for one event."""
    found: list[object] = [node]
    if not isinstance(node, ast.Chain):
        for child in _children(node):
            found += _outside_where(child)
    return found


def _children(node: object) -> Iterator[object]:
    if isinstance(node, tuple):
        yield from node
    elif is_dataclass(node) and not isinstance(node, ast.Place):
        for each in fields(node):
            child: Any = getattr(node, each.name)
            if is_dataclass(child) or isinstance(child, tuple):
                yield child
