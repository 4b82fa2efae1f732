"""Why a definition's answer for a profile is what it is: clause by clause, and when each turns if nothing happens.

The profile is looked at as of an instant: time passes on a copy of it, flip by flip, as it does when its next record is
applied. How long each clause then stays as it is, is found in the same way: by letting time go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from app.compute.apply import is_anonymous
from app.compute.evaluate import evaluate
from app.compute.timers import pass_time
from app.definitions import ast
from app.definitions.checker import Parsed, references
from app.definitions.compiler import cell_key, compile_accounts, compile_plan, is_turning
from app.definitions.conditions import count_cap, is_many
from app.definitions.expressions import Expressions, condition_id, trait_steps
from app.definitions.model import Definition, Kind, Scope
from app.definitions.plan import FACT, CellPlan, DefinitionPlan, Plan, Scene
from app.definitions.printer import to_text
from app.definitions.tree import outside_where
from app.events.values import same
from app.profiles import codec
from app.profiles.evidence import Evidence, evidence
from app.profiles.members import Members
from app.profiles.state import Profile

STEPS_MAX = 1_000
"""Instants that are looked at to find when clauses turn."""
STEPS_MIN = 20
BYTES_MAX = 200_000_000
"""Each step may go through all that is remembered: of a large profile fewer are looked at, so that it takes seconds."""

Source = Literal["literal", "events", "audience", "computed trait", "custom trait", "users"]


Junction = Literal["and", "or", "not", "comparison", "any", "all", "none"]
_QUANTIFIERS: Mapping[str, Junction] = {"ANY": "any", "ALL": "all", "NONE": "none"}


@dataclass(frozen=True, slots=True)
class Operand:
    """One side of a comparison, or the chain of a computed trait."""

    text: str
    source: Source
    value: Any
    """Where the path has `$`, the list of its values."""
    events: Evidence | None = None
    """What is known of the events behind it, for a chain."""
    written_ms: int | None = None
    """For a custom trait: the time of its last writer; None if nobody has written it."""
    users: int | None = None
    """For what stands inside a quantifier: how many users the account has; the value says how many satisfy it."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition: a comparison or a quantifier has operands, a junction has clauses."""

    text: str
    junction: Junction
    holds: bool
    flips_ms: int | None
    """The next instant at which it flips if nothing happens; None for none, as far as time was looked at."""
    clauses: tuple[Clause, ...] = ()
    operands: tuple[Operand, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """One definition's answer for one profile at an instant."""

    key: str
    kind: Kind
    at_ms: int
    """As of when; never before what the profile has reached."""
    value: Any
    """True or false; a trait's value, None while it is absent."""
    emitted: Any
    """What was last emitted by the profile's newest record; another one than `value` is still to be emitted."""
    changes_ms: int | None
    """The next instant at which the value changes if nothing happens."""
    is_anonymous: bool
    is_kept_out: bool
    """Whether its condition holds, and it is out because anonymous profiles are."""
    body: Clause | Operand
    looked_until_ms: int | None
    """Time was looked at up to this instant, because there are so many; None for all of it."""


def explain(ready: Sequence[Parsed], key: str, profile: Profile, now_ms: int, scope: Scope = "USERS") -> Explanation:
    """Explain the definition of a key; the profile is left as it is.

    Args:
        ready: Checked definitions in the order of dependence, as `compile_ready` gives them.
        profile: With all its parts; an account where the scope is that.
    Raises:
        KeyError: No definition of that scope has that key.
    """
    needed = _needed(ready, key, scope)
    plan = compile_plan(needed) if scope == "USERS" else compile_accounts(needed)
    definition, body = needed[-1]
    reader = _Reader(plan, needed, scope)
    present = _Present(plan, profile, now_ms)
    flips, looked_until_ms = _flips(_Present(plan, profile, now_ms), reader, definition, body)
    value = present.emitted(definition)
    (own,) = (each for each in plan.definitions if each.role == "own" and each.key == key)
    holds = present.value_of(own)
    return Explanation(
        key=key,
        kind=definition.kind,
        at_ms=present.scene.now,
        value=value,
        emitted=profile.emitted.get(key, _blank(definition)),
        changes_ms=flips.get(id(definition)),
        is_anonymous=present.anonymous and scope == "USERS",
        is_kept_out=definition.kind == "audience" and bool(holds) and not value,
        body=reader.explained(body, present.scene, flips),
        looked_until_ms=looked_until_ms,
    )


class _Present:
    """A copy of a profile at an instant, for which time goes on as one likes."""

    def __init__(self, plan: Plan, profile: Profile, now_ms: int) -> None:
        copied = codec.decode(codec.encode(profile, 0))
        self._plan = plan
        self.profile = copied
        self.anonymous = is_anonymous(copied)
        self.scene = Scene(copied, copied.clock)
        self._pass(max(now_ms, copied.clock))
        # Definitions may be newer than the profile; and cells tell when they turn only when they are gone through.
        evaluate(plan, self.scene, range(len(plan.definitions)), self.anonymous, _emit)
        copied.armed_due = self.scene.now
        self._pass(self.scene.now)

    def _pass(self, until_ms: int) -> None:
        pass_time(self._plan, self.scene, until_ms, self.anonymous, _emit)

    def step(self) -> bool:
        """Go on to the next instant at which something can turn; whether there is one."""
        due_ms = self.profile.armed_due
        if due_ms:
            self._pass(due_ms)
        return bool(due_ms)

    def emitted(self, definition: Definition) -> Any:
        return self.profile.emitted.get(definition.key, _blank(definition))

    def value_of(self, definition: DefinitionPlan) -> Any:
        """Before the question whether the profile is anonymous."""
        return definition.value(self.scene)


class _Reader:
    """Reads the nodes of one definition's tree from a scene."""

    def __init__(self, plan: Plan, needed: Sequence[Parsed], scope: Scope) -> None:
        self._plan = plan
        own = {each.key: each.kind for each, _ in needed if each.scope == scope}
        told = {each.key: each.kind for each, _ in needed if each.scope != scope and each.key not in own}
        self._kinds: Mapping[str, Kind] = told | own
        slots = {key: FACT + key for key in told}
        self.expressions = Expressions(self._kinds, self._cell, slots)

    def _cell(self, chain: ast.Chain, cap: int) -> CellPlan:
        return self._plan.cells[cell_key(chain, cap)[0]]

    def explained(self, body: ast.Body, scene: Scene, flips: Mapping[int, int]) -> Clause | Operand:
        return self._operand(body, scene, 0) if isinstance(body, ast.Chain) else self._clause(body, scene, flips)

    def _clause(self, node: ast.Condition, scene: Scene, flips: Mapping[int, int]) -> Clause:
        text, holds, flips_ms = to_text(node), self.expressions.condition(node)(scene), flips.get(id(node))
        match node:
            case ast.And(conditions) | ast.Or(conditions):
                junction: Literal["and", "or"] = "and" if isinstance(node, ast.And) else "or"
                clauses = tuple(self._clause(each, scene, flips) for each in conditions)
                return Clause(text, junction, holds, flips_ms, clauses=clauses)
            case ast.Not(inner):
                return Clause(text, "not", holds, flips_ms, clauses=(self._clause(inner, scene, flips),))
            case ast.Comparison(left, _, arguments):
                operands = [self._operand(left, scene, count_cap(node))]
                operands += [self._operand(each, scene, 0) for each in arguments]
                return Clause(text, "comparison", holds, flips_ms, operands=tuple(operands))
            case ast.DateComparison(left):
                return Clause(text, "comparison", holds, flips_ms, operands=(self._operand(left, scene, 0),))
            case ast.Quantified(quantifier, inner):
                operands = [_users(to_text(inner), condition_id(inner), scene.profile)]
                return Clause(text, _QUANTIFIERS[quantifier], holds, flips_ms, operands=tuple(operands))
        assert_never(node)

    def _operand(self, node: ast.Scalar, scene: Scene, cap: int) -> Operand:
        text = to_text(node)
        if is_many(node) and not (isinstance(node, ast.Trait) and node.key in self._kinds):
            value: Any = self.expressions.values(node)(scene)
        else:
            value = self.expressions.value(node, cap)(scene)
        match node:
            case ast.Chain():
                cell = self._cell(node, cap)
                held = scene.profile.cells.get(cell.id)
                known = evidence(cell.kind, held, scene.now, ends_tell_times=not is_turning(node))
                return Operand(text, "events", value, events=known)
            case ast.Trait(key) if key in self._kinds:
                return Operand(text, "audience" if self._kinds[key] == "audience" else "computed trait", value)
            case ast.Trait(key):
                written = scene.profile.traits.get(trait_steps(key)[0])
                return Operand(text, "custom trait", value, written_ms=written[1] if written is not None else None)
        return Operand(text, "literal", value)


def _users(text: str, condition: str, account: Profile) -> Operand:
    members = account.members or Members()
    return Operand(text, "users", members.satisfying(condition), users=members.count)


def _flips(
    present: _Present, reader: _Reader, definition: Definition, body: ast.Body
) -> tuple[dict[int, int], int | None]:
    """When the conditions of a tree and the definition's answer first turn, by `id`; and how far time was looked at."""
    scene = present.scene
    reads: dict[int, Callable[[Scene], Any]] = {
        id(node): reader.expressions.condition(node)
        for node in outside_where(body)
        if isinstance(node, ast.Comparison | ast.DateComparison | ast.Not | ast.And | ast.Or | ast.Quantified)
    }
    reads[id(definition)] = lambda _: present.emitted(definition)
    before = {node: read(scene) for node, read in reads.items()}
    flips: dict[int, int] = {}
    enough = max(STEPS_MIN, BYTES_MAX // len(codec.encode(present.profile, 0)))
    for _ in range(min(STEPS_MAX, enough)):
        if not present.step():
            return flips, None
        for node, read in reads.items():
            if node not in flips and not same(read(scene), before[node]):
                flips[node] = scene.now
        if len(flips) == len(reads):
            return flips, None
    return flips, scene.now


def _needed(ready: Sequence[Parsed], key: str, scope: Scope) -> list[Parsed]:
    """A definition and all of its scope that it refers to, it last; and what a user's accounts tell of themselves."""
    own = {definition.key for definition, _ in ready if definition.scope == scope}
    wanted = {key}
    needed: list[Parsed] = []
    for definition, body in reversed(ready):
        if definition.key not in wanted:
            continue
        if definition.scope == scope:
            wanted.update(references(body))
            needed.append((definition, body))
        elif scope == "USERS" and definition.key not in own:
            needed.append((definition, body))
    if not needed or (needed[0][0].key, needed[0][0].scope) != (key, scope):
        raise KeyError(key)
    return needed[::-1]


def _blank(definition: Definition) -> bool | None:
    return False if definition.kind == "audience" else None


def _emit(definition: DefinitionPlan, value: Any, previous: Any) -> None:
    """Nothing leaves a copy."""
