"""What a catalogue becomes once, so that an event runs only the cells and definitions that name it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Literal

from app.definitions.model import Kind
from app.profiles.cells import CellKind
from app.profiles.history import Recalled
from app.profiles.state import Profile
from app.topics import Collection


class Scene:
    """What a compiled expression can see. One object per profile and record; `now` moves while it is in use.

    Attributes:
        properties, context, source: Of the event that is being applied.
        at_ms: When it happened.
        arrival: Its place in the order of arrival, which breaks ties between equal times.
    """

    __slots__ = ("arrival", "at_ms", "context", "now", "profile", "properties", "source")

    def __init__(self, profile: Profile, now: int) -> None:
        self.profile = profile
        self.now = now
        self.arrival = 0
        self.at_ms = now
        self.properties: dict[str, Any] = {}
        self.context: dict[str, Any] = {}
        self.source: str | None = None


Condition = Callable[[Scene], bool]
Value = Callable[[Scene], Any]
Values = Callable[[Scene], list[Any]]
Instants = Callable[[Scene], list[int]]
"""The instants, past and future, at which a condition can turn although nothing happens."""


Fold = Callable[[Scene, Any], Any]
"""Takes the scene of an event and a cell, or None where there is none; gives the cell with the event in it, the same
object perhaps; `KEPT` when nobody has to be asked anew because of that; None when the event changes nothing."""


@dataclass(frozen=True, slots=True)
class CellPlan:
    """One cell, as definitions read it."""

    id: str
    """Made of the expression's text: equal expressions share a cell, and a cell outlives edits that keep it."""
    kind: CellKind
    timed: bool
    """Whether time alone can change its answer."""
    reads_traits: bool = False
    """Whether trait() of whoever has the cell decides which events get into it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A cell of accounts that their users cannot fill, since trait() of the account decides what gets into it. They
    keep the events, under an id of their own, and the account judges them."""

    cell: CellPlan
    folds: tuple[Fold, ...]
    """By the number of the event's name in what is kept: how it gets into the cell."""
    kept: CellPlan
    """As users have it."""
    keep: Mapping[str, Fold]
    """By the event's name: how users keep it."""


Role = Literal["own", "condition", "fact"]
"""What an answer is to whoever has it: the answer of a definition of its own kind; of a user, what stands inside a
quantifier of accounts, which is told to these alone; of a user, what its accounts have told it of themselves."""

CONDITION, FACT = "?", "@"
"""What the slots of conditions and facts begin with; no key does."""


@dataclass(frozen=True, slots=True)
class DefinitionPlan:
    """One definition, ready to be evaluated."""

    index: int
    """Its place in the order of dependence: it reads only definitions with a smaller one."""
    key: str
    kind: Kind
    id: str
    version: str
    value: Value
    include_anonymous_users: bool
    is_count: bool
    """A trait whose first value would be 0 stays absent."""
    turns: Instants | None
    """Instants of its own comparisons with the present, cells aside."""
    slot: str
    """Under which of a profile's emitted values it is: its key, for a definition of the profile's own."""
    role: Role = "own"
    ready: Condition | None = None
    """Whether all is known that it reads; until then its answer stays. None: always."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is live, indexed by what can touch it. Indexes of definitions ascend."""

    definitions: tuple[DefinitionPlan, ...] = ()
    version: int = 0
    """32 bits of the catalogue's hash: a profile that another version evaluated is evaluated as a whole."""
    cells: Mapping[str, CellPlan] = field(default_factory=dict)
    cells_by_event: Mapping[str, tuple[tuple[CellPlan, Fold], ...]] = field(default_factory=dict)
    """By the event's name, of children in funnels too: each cell that it can change, and how."""
    by_cell: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    by_trait: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Definitions by the first step of a custom trait's path."""
    readers: tuple[tuple[int, ...], ...] = ()
    """Per definition, those that refer to it."""
    turning: tuple[int, ...] = ()
    """Definitions with `turns`."""
    collection: Collection = "users"
    """Whose profiles it is for."""
    conditions: tuple[str, ...] = ()
    """Of users: the ids of what stands inside quantifiers of accounts."""
    collective: Mapping[str, tuple[tuple[CellPlan, Fold], ...]] = field(default_factory=dict)
    """Of users: `cells_by_event` of the accounts that they may belong to."""
    collective_kinds: Mapping[str, CellKind] = field(default_factory=dict)
    """Of users: of those cells, by id."""
    facts: Mapping[str, int] = field(default_factory=dict)
    """Of users: definitions of accounts by key."""
    looked_at: Set[str] = frozenset()
    """Names of events that change anything."""
    told: Set[str] = frozenset()
    """Of accounts: the keys of what their users are told."""
    by_condition: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of accounts: definitions by the conditions inside their quantifiers."""
    judged: Mapping[str, Judged] = field(default_factory=dict)
    """By the id under which users keep the events: the cells of accounts that only these can fill."""
    recalled: Recalled = field(default_factory=Recalled)
    """Of accounts: what those cells ask of what an account was."""
