"""Cells of funnels: events whose `where` looks at other events of the profile, which come after them.

A funnel is a tree of chains. The facts of each chain are kept apart, with no more of an event than is needed: its
`slots`, which its own condition and those of its children read, and the values that its reducer takes. Whether a fact
of the outermost chain counts (a parent) is remembered, with the instant at which time alone can change it; it is looked
at again when that comes, or when a fact arrives below it.

The cell is [total of settled parents, parents, facts of the second chain, of the third, …]; a fact is
[time, slots, values], and a parent has two more: whether it counts, and its next instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.events.values import equality_key
from app.profiles.aggregates import Aggregate
from app.profiles.facts import Fact, Facts, after, drop_until, insert, latest_session, since
from app.profiles.facts import merge as merge_facts

SLOTS, VALUES, STATE, DUE = 1, 2, 3, 4
LOOKS_MIN = 4
"""From so many facts on whose children are looked for together, these are sorted by what they have to share."""
OUT, IN, SETTLED = 0, 1, 2
"""A parent's states. What is settled counts whatever is still to come, as far as the chain's window goes."""


class Look:
    """What the conditions of a funnel can see. One object per cell and change; `fact` and `parent` move while in use.

    Args:
        looks: How many facts of the outermost chain will be looked at.

    Attributes:
        due: The earliest instant after `now` that was met while looking, at which something can turn; 0 for none.
    """

    __slots__ = ("_joined", "due", "fact", "facts", "looks", "now", "parent")

    def __init__(self, facts: Sequence[Facts], now: int, looks: int = 1) -> None:
        self.facts = facts
        self.now = now
        self.looks = looks
        self.due = 0
        self.fact: Fact = []
        self.parent: Fact = []
        self._joined: dict[int, dict[Any, Facts]] = {}

    def joined(self, index: int, slot: int, value: Any) -> Facts:
        """The facts of a step of which a slot can equal a value, in their order."""
        by_key = self._joined.get(index)
        if by_key is None:
            by_key = self._joined[index] = {}
            for fact in self.facts[index]:
                by_key.setdefault(equality_key(fact[SLOTS][slot]), []).append(fact)
        key = equality_key(value)
        return by_key.get(key, []) if key is not None else []

    def note(self, edge_ms: int) -> None:
        """Remember an instant at which what is being looked at can turn."""
        if edge_ms > self.now and (not self.due or edge_ms < self.due):
            self.due = edge_ms


Test: TypeAlias = Callable[[Look], bool]


@dataclass(frozen=True, slots=True)
class Step:
    """One chain of a funnel.

    What makes up its condition and was known when an event arrived is not asked again: such events are not kept.
    """

    index: int
    """Where its facts stand among those of the funnel; 0 for the outermost chain."""
    aggregate: Aggregate
    where: Test | None
    near_ms: int
    far_ms: int | None
    """The event counts from `near_ms` after its time until `far_ms` after it; None for ever."""
    parent_ms: int | None
    """How long after its parent it may come; None for any time."""
    gap_ms: int | None
    """Of sessions; None for none."""
    cap: int
    """Above 0, as many are enough: a count of them is compared with less."""
    newest: bool
    """Whether the newest `cap` facts are all that any parent can ask for."""
    forget_ms: int | None
    """How old a fact has to be so that no answer can need it; None for never."""
    pairwise: bool
    """Whether its condition is decided between a fact and its parent, the outermost, for ever: a fact that fails it can
    mean nothing to that parent."""
    join: tuple[int, int] | None = None
    """A slot of its own and one of its parent that have to be equal; None where there are none."""

    def total(self, look: Look) -> Any:
        """The total of the facts that count for the fact that is looked at."""
        fact, parent, facts = look.fact, look.parent, look.facts[self.index]
        if not facts or facts[-1][0] <= fact[0]:
            return None  # a parent that is new, as a rule
        if self.join is not None and look.looks >= LOOKS_MIN:
            own, of_parent = self.join
            facts = look.joined(self.index, own, fact[SLOTS][of_parent])
        found: Facts = []
        for child in self._after(fact, facts):
            at_ms = child[0]
            if look.now < at_ms + self.near_ms:
                look.note(at_ms + self.near_ms)
                continue
            if self.far_ms is not None:
                if look.now >= at_ms + self.far_ms:
                    continue
                look.note(at_ms + self.far_ms)
            if self.where is not None:
                look.fact, look.parent = child, fact
                if not self.where(look):
                    continue
            found.append(child)
            if len(found) == self.cap:
                break
        look.fact, look.parent = fact, parent
        if self.gap_ms is not None and found:
            look.note(found[-1][0] + self.gap_ms)
            found = latest_session(found, self.gap_ms, look.now)
        return self.taken(found)

    def _after(self, fact: Fact, facts: Facts) -> Facts:
        start = after(facts, fact[0])
        return facts[start:] if self.parent_ms is None else facts[start : after(facts, fact[0] + self.parent_ms)]

    def taken(self, facts: Iterable[Fact], total: Any = None) -> Any:
        """The total of these facts' values."""
        add = self.aggregate.add
        for fact in facts:
            for value in fact[VALUES]:
                total = add(total, value)
        return total


@dataclass(frozen=True, slots=True)
class Funnel:
    """See the module."""

    steps: tuple[Step, ...]
    reach_ms: tuple[int | None, ...]
    """By step: how much older than its fact a parent may be that has to be looked at again; None for any."""
    stays_in: bool
    """Whether a parent whose condition holds satisfies it for ever, as far as the chain's window goes."""
    stays_out: bool
    """Whether a parent whose condition does not hold can never satisfy it."""

    def add(self, cell: list[Any] | None, now_ms: int, facts: Sequence[tuple[int, Fact]]) -> list[Any] | None:
        """The cell with an event's facts, each with its step's index; None when they change nothing."""
        kept = [(index, fact) for index, fact in facts if not self._is_over(index, fact[0], now_ms)]
        if not kept:
            return None
        if cell is None:
            cell = [None, *([] for _ in self.steps)]
        self._forget(cell, now_ms)
        for index, fact in kept:
            insert(cell[1 + index], [*fact, OUT, now_ms] if index == 0 else fact)
            step = self.steps[index]
            if step.newest and len(cell[1 + index]) > step.cap:
                del cell[1 + index][0]
        for index, fact in kept:
            if index:
                self._wake(cell, self.steps[index], fact, now_ms)
        return self._looked_again(cell, now_ms)

    def _wake(self, cell: list[Any], step: Step, fact: Fact, now_ms: int) -> None:
        """Have those parents looked at again to which a new fact of a step can matter."""
        parents: Facts = cell[1]
        reach_ms = self.reach_ms[step.index]
        first = since(parents, fact[0] - reach_ms) if reach_ms is not None else 0
        look = Look(cell[1:], now_ms)
        look.fact = fact
        passes = step.where if step.pairwise else None
        for place in range(first, since(parents, fact[0])):
            look.parent = parents[place]
            if look.parent[STATE] != SETTLED and (passes is None or passes(look)):
                look.parent[DUE] = now_ms

    def merge(self, cell: list[Any], other: list[Any], now_ms: int) -> list[Any] | None:
        self._forget(cell, now_ms)
        self._forget(other, now_ms)
        self._wake_all(cell[1], other, now_ms)
        self._wake_all(other[1], cell, now_ms)
        cell[0] = self.steps[0].aggregate.merge(cell[0], other[0])
        for step in self.steps:
            facts: Facts = cell[1 + step.index]
            merge_facts(facts, other[1 + step.index])
            if step.newest:
                del facts[: -step.cap]
        return self.advance(cell, now_ms)

    def _wake_all(self, parents: Facts, other: list[Any], now_ms: int) -> None:
        """Have those parents looked at again to which the facts of another profile can matter."""
        for step in self.steps[1:]:
            facts: Facts = other[1 + step.index]
            if not facts:
                continue
            reach_ms = self.reach_ms[step.index]
            for parent in parents[: since(parents, facts[-1][0])]:
                if reach_ms is None or facts[after(facts, parent[0])][0] <= parent[0] + reach_ms:
                    parent[DUE] = now_ms

    def _is_over(self, index: int, at_ms: int, now_ms: int) -> bool:
        forget_ms = self.steps[index].forget_ms
        return forget_ms is not None and at_ms <= now_ms - forget_ms

    def advance(self, cell: list[Any], now_ms: int) -> list[Any] | None:
        self._forget(cell, now_ms)
        cell = self._looked_again(cell, now_ms)
        return cell if cell[0] is not None or any(cell[1:]) else None

    def _forget(self, cell: list[Any], now_ms: int) -> None:
        for step, facts in zip(self.steps, cell[1:], strict=True):
            if facts and step.forget_ms is not None:
                drop_until(facts, now_ms - step.forget_ms)

    def _looked_again(self, cell: list[Any], now_ms: int) -> list[Any]:
        """Look at the parents that are due, and take out those that are settled."""
        parents: Facts = cell[1]
        due = [parent for parent in parents if parent[DUE] and parent[DUE] <= now_ms]
        if not due:
            return cell
        look = Look(cell[1:], now_ms, len(due))
        gone = 0
        for parent in due:
            gone += self._settled(cell, parent, look)
        if gone:
            cell[1] = [parent for parent in parents if parent[STATE] is not None]
        return cell

    def _settled(self, cell: list[Any], parent: Fact, look: Look) -> bool:
        """Look at one parent; whether it need not be kept. Its state is None then."""
        top = self.steps[0]
        at_ms = parent[0]
        if look.now < at_ms + top.near_ms:
            parent[DUE] = at_ms + top.near_ms
            return False
        if top.far_ms is not None and look.now >= at_ms + top.far_ms:
            parent[STATE] = None
            return True
        look.fact, look.due = parent, 0
        assert top.where is not None, "a funnel is a chain with a condition"
        holds = parent[STATE] == SETTLED or top.where(look)
        if self.stays_out and not holds:
            parent[STATE] = None
            return True
        parent[STATE] = IN if holds else OUT
        if self.stays_in and holds:
            if top.far_ms is None and top.gap_ms is None:
                cell[0] = top.taken([parent], cell[0])
                parent[STATE] = None
                return True
            parent[STATE], parent[SLOTS], look.due = SETTLED, [], 0
        if top.far_ms is not None:
            look.note(at_ms + top.far_ms)
        parent[DUE] = look.due
        return False

    def answer(self, cell: list[Any] | None, now_ms: int) -> Any:
        if cell is None:
            return None
        top = self.steps[0]
        counting = [parent for parent in cell[1] if parent[STATE]]
        if top.gap_ms is not None:
            return top.taken(latest_session(counting, top.gap_ms, now_ms))
        total = top.taken(counting)
        return top.aggregate.merge(total, cell[0]) if cell[0] is not None else total

    def next_flip_ms(self, cell: list[Any], now_ms: int) -> int:
        edges = [parent[DUE] for parent in cell[1] if parent[DUE] > now_ms]
        gap_ms = self.steps[0].gap_ms
        if gap_ms is not None:
            counting = [parent[0] + gap_ms for parent in cell[1] if parent[STATE]]
            edges += [expires_ms for expires_ms in counting[-1:] if expires_ms > now_ms]
        return min(edges, default=0)
