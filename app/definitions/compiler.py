"""Tree → plan: expressions become closures, and chains become cells that are shared between equal ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from app.definitions import ast
from app.definitions.expressions import Expressions, trait_steps
from app.definitions.funnels import FunnelCompiler, is_funnel
from app.definitions.intake import Window, fold_of, source_test, window_of
from app.definitions.model import Definition
from app.definitions.plan import CellPlan, DefinitionPlan, Fold, Plan
from app.definitions.printer import to_text
from app.definitions.reducers import aggregate, observer, shared
from app.definitions.tree import nodes, outside_where
from app.profiles.aggregates import Extreme
from app.profiles.cells import ChainKind
from app.profiles.sessions import Runs, SessionFacts
from app.profiles.windows import Count, Peaks, Spanned, Total, WindowCount


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
    by_event: dict[str, list[tuple[CellPlan, Fold]]] = field(default_factory=lambda: defaultdict(list))
    by_cell: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    by_trait: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    by_key: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, definition: Definition, body: ast.Body) -> None:
        index = len(self.definitions)
        expressions = Expressions(self.kinds, lambda chain, cap: self._cell(chain, cap, index))
        value = expressions.chain(body, 0) if isinstance(body, ast.Chain) else expressions.condition(body)
        outside = list(outside_where(body))
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
                turns=expressions.turns(outside),
            )
        )
        for node in outside:
            if isinstance(node, ast.Trait):
                if node.key in self.kinds:
                    _once(self.by_key[node.key], index)
                else:
                    _once(self.by_trait[trait_steps(node.key)[0]], index)

    def _cell(self, chain: ast.Chain, cap: int, reader: int) -> CellPlan:
        cell_id, chain, capped = cell_key(chain, cap)
        if cell_id not in self.cells:
            self._add_cell(cell_id, chain, capped)
        _once(self.by_cell[cell_id], reader)
        return self.cells[cell_id]

    def _add_cell(self, cell_id: str, chain: ast.Chain, cap: int) -> None:
        window = window_of(chain.filters)
        timed = is_turning(chain) or any(
            not each.is_plain or each.gap_ms is not None
            for each in (window_of(node.filters) for node in nodes(chain) if isinstance(node, ast.Chain))
        )
        if is_funnel(chain):
            funnel, folds = FunnelCompiler(self.kinds).compile(chain)
            self.cells[cell_id] = CellPlan(cell_id, funnel, timed)
        else:
            kind = _kind(chain, window, cap)
            folds = {chain.event: self._fold(kind, chain, window)}
            self.cells[cell_id] = CellPlan(cell_id, kind, timed)
        for event, fold in folds.items():
            self.by_event[event].append((self.cells[cell_id], fold))

    def _fold(self, kind: ChainKind, chain: ast.Chain, window: Window) -> Fold:
        expressions = Expressions(self.kinds, _no_chain)
        conditions = [each.condition for each in chain.filters if isinstance(each, ast.Where)]
        tests = [source_test(each) for each in chain.filters if isinstance(each, ast.Sources)]
        tests += [expressions.condition(each) for each in conditions]
        turns = expressions.turns(list(nodes(tuple(conditions))))
        return fold_of(kind, tests, turns, window, observer(chain.reducer))

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


def cell_key(chain: ast.Chain, cap: int) -> tuple[str, ast.Chain, int]:
    """The id of a chain's cell, the chain that stands for all that share it, and how many events it keeps; 0: all."""
    filters = tuple(sorted(chain.filters, key=to_text))
    chain = replace(chain, filters=filters, reducer=shared(chain.reducer))
    capped = cap if _is_window_count(chain, window_of(filters)) else 0
    cell_id = blake2b(f"{to_text(chain)}|{capped}".encode(), digest_size=6).hexdigest()
    return cell_id, chain, capped


def _short_hash(text: str) -> int:
    # Never 0, which is what a profile has that no plan has evaluated.
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big") or 1


def is_turning(chain: ast.Chain) -> bool:
    """Whether time alone can decide that an event passes a `where`."""
    return any(isinstance(node, ast.DateComparison) for each in chain.filters for node in nodes(each))


def _is_window_count(chain: ast.Chain, window: Window) -> bool:
    """Whether it counts the events of one window back from now, which leave in the order of their times."""
    return (
        chain.reducer.name == "count"
        and window.far_ms is not None
        and not window.near_ms
        and window.gap_ms is None
        and not is_turning(chain)
        and not is_funnel(chain)
    )


def _kind(chain: ast.Chain, window: Window, cap: int) -> ChainKind:
    """The kind of cell that holds the least."""
    taken = aggregate(chain.reducer)
    near_ms, far_ms = window.near_ms, window.far_ms or 0
    is_plain = window.is_plain and not is_turning(chain)
    if window.gap_ms is not None:
        if is_plain:
            return Runs(taken, window.gap_ms)
        window_ms = (0, 0) if is_turning(chain) else (near_ms, far_ms)
        return SessionFacts(taken, window.gap_ms, *window_ms)
    if is_plain:
        return Count() if chain.reducer.name == "count" else Total(taken)
    if _is_window_count(chain, window):
        return WindowCount(far_ms, cap)
    return Peaks(taken, near_ms, far_ms) if isinstance(taken, Extreme) else Spanned(taken, near_ms, far_ms)


def _no_chain(chain: ast.Chain, cap: int) -> CellPlan:
    raise AssertionError("a chain inside where makes its cell a funnel")


def _once(indexes: list[int], index: int) -> None:
    if index not in indexes:
        indexes.append(index)
