"""Tree → plan: expressions become closures, and chains become cells that are shared between equal ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TypeAlias

from app.definitions import ast
from app.definitions.conditions import count_cap, count_marks, every
from app.definitions.expressions import Expressions, condition_id, knows, trait_steps
from app.definitions.funnels import FunnelCompiler, is_funnel
from app.definitions.intake import Window, fold_of, source_test, window_of
from app.definitions.judging import keeping, recalled
from app.definitions.model import Definition, Subscription
from app.definitions.plan import CONDITION, FACT, CellPlan, DefinitionPlan, Fold, Judged, Plan, Value
from app.definitions.printer import to_text
from app.definitions.reducers import aggregate, observer, shared
from app.definitions.tree import nodes, outside_where
from app.profiles.aggregates import Extreme
from app.profiles.cells import ChainKind, Marks
from app.profiles.sessions import Runs, SessionFacts
from app.profiles.windows import Count, Peaks, Spanned, Total, WindowCount

Ready: TypeAlias = Sequence[tuple[Definition, ast.Body]]


def compile_plan(ready: Ready) -> Plan:
    """The plan for users of checked definitions, given in the order of dependence (`app.definitions.checker`).

    Of definitions of accounts a user needs what they ask of their users; the cells of what they ask of all of these
    together, to bring along where it joins; and their answers, which the accounts tell it.
    """
    of_accounts = [(definition, body) for definition, body in ready if definition.scope == "ACCOUNTS"]
    accounts = [definition for definition, _ in of_accounts]
    own = {definition.key: definition.kind for definition, _ in ready if definition.scope == "USERS"}
    slots = {definition.key: FACT + definition.key for definition in accounts if definition.key not in own}
    conditions = _conditions(body for _, body in of_accounts)
    bodies = [*(body for definition, body in ready if definition.scope == "USERS"), *conditions.values()]
    kinds = {**{definition.key: definition.kind for definition in accounts}, **own}
    builder = _Builder(kinds, _marks(bodies), slots)
    for definition, body in of_accounts:
        builder.add_fact(definition, body)
    for definition, body in ready:
        if definition.scope == "USERS":
            builder.add(definition, body)
    for id_, condition in conditions.items():
        builder.add_condition(id_, condition)
    plan = builder.plan(_version(definition for definition, _ in ready))
    if not accounts:
        return plan
    theirs = compile_accounts(ready)
    collective = _collective(theirs)
    return replace(
        plan,
        conditions=tuple(conditions),
        collective=collective,
        looked_at=plan.looked_at | theirs.looked_at,
        collective_kinds={cell.id: cell.kind for cells in collective.values() for cell, _ in cells},
        facts={definition.key: index for index, definition in enumerate(accounts)},
        judged=theirs.judged,
    )


def _collective(theirs: Plan) -> dict[str, tuple[tuple[CellPlan, Fold], ...]]:
    """What users keep for accounts, by the event's name: the cells of these, but the events where only they can tell
    which of them count."""
    judged = {each.cell.id: each for each in theirs.judged.values()}
    return {
        event: tuple(
            (judged[cell.id].kept, judged[cell.id].keep[event]) if cell.id in judged else (cell, fold)
            for cell, fold in cells
        )
        for event, cells in theirs.cells_by_event.items()
    }


def compile_accounts(ready: Ready, told: Set[str] = frozenset()) -> Plan:
    """The plan for accounts, of the same definitions.

    Args:
        told: The keys of what users are told.
    """
    own = [(definition, body) for definition, body in ready if definition.scope == "ACCOUNTS"]
    kinds = {definition.key: definition.kind for definition, _ in own}
    builder = _Builder(kinds, _marks(body for _, body in own), judges=True)
    for definition, body in own:
        builder.add(definition, body)
    plan = builder.plan(_version((definition for definition, _ in own), *sorted(told)))
    return replace(plan, collection="accounts", told=told)


def told_to_users(ready: Ready, subscriptions: Iterable[Subscription]) -> Set[str]:
    """The keys of definitions of accounts that users are told: of which destinations hear by user, or that definitions
    of users read."""
    read = {
        node.key
        for definition, body in ready
        if definition.scope == "USERS"
        for node in nodes(body)
        if isinstance(node, ast.Trait)
    }
    read |= {each.definition for each in subscriptions if each.calls != ("group",)}
    return {definition.key for definition, _ in ready if definition.scope == "ACCOUNTS"} & read


def _version(definitions: Iterable[Definition], *more: str) -> int:
    return _short_hash("|".join([*(f"{each.kind}:{each.key}:{each.version}" for each in definitions), *more]))


def _conditions(bodies: Iterable[ast.Body]) -> dict[str, ast.Condition]:
    """By id, what stands inside quantifiers; equal ones are one."""
    return {
        condition_id(node.condition): node.condition
        for body in bodies
        for node in outside_where(body)
        if isinstance(node, ast.Quantified)
    }


def _marks(bodies: Iterable[ast.Body]) -> dict[str, Marks | None]:
    """By the cell's id, the counts that all together tell apart; None where each count matters to one of them."""
    found: dict[str, Marks | None] = {}
    for body in bodies:
        compared: set[int] = set()
        for node in outside_where(body):
            if isinstance(node, ast.Comparison) and isinstance(node.left, ast.Chain):
                compared.add(id(node.left))
                chain, cap, marks = node.left, count_cap(node), count_marks(node)
            elif isinstance(node, ast.Chain) and id(node) not in compared:
                chain, cap, marks = node, 0, None
            else:
                continue
            cell_id, _, _ = cell_key(chain, cap)
            others = found.get(cell_id, ())
            found[cell_id] = tuple(sorted({*marks, *others})) if marks is not None and others is not None else None
    return found


@dataclass
class _Builder:
    kinds: Mapping[str, str]
    marks: Mapping[str, Marks | None]
    """By cell: the counts that definitions tell apart; None for all."""
    slots: dict[str, str] = field(default_factory=dict)
    """Of definitions of others: where their values are."""
    judges: bool = False
    """Whether others keep events for it where its traits decide."""
    judged: dict[str, Judged] = field(default_factory=dict)
    asking: list[ast.Chain] = field(default_factory=list)
    """The chains of those."""
    definitions: list[DefinitionPlan] = field(default_factory=list)
    cells: dict[str, CellPlan] = field(default_factory=dict)
    by_event: dict[str, list[tuple[CellPlan, Fold]]] = field(default_factory=lambda: defaultdict(list))
    by_cell: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    by_trait: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    by_slot: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    by_condition: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, definition: Definition, body: ast.Body) -> None:
        expressions, outside = self._read(body)
        asked = [*_conditions([body])]
        for id_ in asked:
            self.by_condition[id_].append(len(self.definitions))
        self.definitions.append(
            DefinitionPlan(
                index=len(self.definitions),
                key=definition.key,
                kind=definition.kind,
                id=definition.id,
                version=definition.version,
                value=expressions.chain(body, 0) if isinstance(body, ast.Chain) else expressions.condition(body),
                include_anonymous_users=definition.include_anonymous_users or definition.scope == "ACCOUNTS",
                is_count=_is_count(body),
                turns=expressions.turns(outside),
                slot=definition.key,
                ready=every([knows(id_) for id_ in asked]) if asked else None,
            )
        )

    def add_condition(self, id_: str, condition: ast.Condition) -> None:
        """What stands inside a quantifier of accounts, for their users."""
        expressions, outside = self._read(condition)
        self.definitions.append(
            DefinitionPlan(
                index=len(self.definitions),
                key=id_,
                kind="audience",
                id=id_,
                version="",
                value=expressions.condition(condition),
                include_anonymous_users=True,
                is_count=False,
                turns=expressions.turns(outside),
                slot=CONDITION + id_,
                role="condition",
            )
        )

    def add_fact(self, definition: Definition, body: ast.Body) -> None:
        """What its accounts tell a user of a definition of theirs."""
        key = definition.key
        self.definitions.append(
            DefinitionPlan(
                index=len(self.definitions),
                key=key,
                kind=definition.kind,
                id=definition.id,
                version=definition.version,
                value=_told_audience(key) if definition.kind == "audience" else _told_trait(key),
                include_anonymous_users=True,
                is_count=_is_count(body),
                turns=None,
                slot=FACT + key,
                role="fact",
            )
        )

    def _read(self, body: ast.Body) -> tuple[Expressions, list[object]]:
        """The compiler of the next definition's expressions, and the nodes that are about the profile as a whole."""
        index = len(self.definitions)
        expressions = Expressions(self.kinds, lambda chain, cap: self._cell(chain, cap, index), self.slots)
        outside = list(outside_where(body))
        for node in outside:
            if isinstance(node, ast.Trait):
                if node.key in self.kinds:
                    _once(self.by_slot[self.slots.get(node.key, node.key)], index)
                else:
                    _once(self.by_trait[trait_steps(node.key)[0]], index)
        return expressions, outside

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
        reads_traits = any(isinstance(node, ast.Trait) for node in nodes(chain))
        if is_funnel(chain):
            funnel, folds = FunnelCompiler(self.kinds, self.slots).compile(chain)
            self.cells[cell_id] = CellPlan(cell_id, funnel, timed, reads_traits)
        else:
            kind = _kind(chain, window, cap, self.marks[cell_id])
            folds = {chain.event: self._fold(kind, chain, window)}
            self.cells[cell_id] = CellPlan(cell_id, kind, timed, reads_traits)
        for event, fold in folds.items():
            self.by_event[event].append((self.cells[cell_id], fold))
        if self.judges and reads_traits:
            judged = keeping(self.cells[cell_id], chain, folds, self.kinds)
            self.judged[judged.kept.id] = judged
            self.asking.append(chain)

    def _fold(self, kind: ChainKind, chain: ast.Chain, window: Window) -> Fold:
        expressions = Expressions(self.kinds, _no_chain, self.slots)
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
            looked_at=frozenset(self.by_event),
            by_cell={cell: tuple(readers) for cell, readers in self.by_cell.items()},
            by_trait={step: tuple(readers) for step, readers in self.by_trait.items()},
            readers=tuple(tuple(self.by_slot.get(each.slot, ())) for each in self.definitions),
            by_condition={id_: tuple(readers) for id_, readers in self.by_condition.items()},
            turning=tuple(each.index for each in self.definitions if each.turns is not None),
            judged=self.judged,
            recalled=recalled(self.asking, self.kinds),
        )


def _is_count(body: ast.Body) -> bool:
    return isinstance(body, ast.Chain) and body.reducer.name in ("count", "unique_count")


def _told_audience(key: str) -> Value:
    return lambda scene: scene.profile.belonging is not None and scene.profile.belonging.is_told(key)


def _told_trait(key: str) -> Value:
    return lambda scene: scene.profile.belonging.last_told(key) if scene.profile.belonging is not None else None


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


def _kind(chain: ast.Chain, window: Window, cap: int, marks: Marks | None) -> ChainKind:
    """The kind of cell that holds the least."""
    taken = aggregate(chain.reducer)
    near_ms, far_ms = window.near_ms, window.far_ms or 0
    is_plain = window.is_plain and not is_turning(chain)
    if window.gap_ms is not None:
        if is_plain:
            return Runs(taken, window.gap_ms, marks)
        window_ms = (0, 0) if is_turning(chain) else (near_ms, far_ms)
        return SessionFacts(taken, window.gap_ms, *window_ms)
    if is_plain:
        return Count() if chain.reducer.name == "count" else Total(taken)
    if _is_window_count(chain, window):
        return WindowCount(far_ms, cap, marks)
    return Peaks(taken, near_ms, far_ms) if isinstance(taken, Extreme) else Spanned(taken, near_ms, far_ms)


def _no_chain(chain: ast.Chain, cap: int) -> CellPlan:
    raise AssertionError("a chain inside where makes its cell a funnel")


def _once(indexes: list[int], index: int) -> None:
    if index not in indexes:
        indexes.append(index)
