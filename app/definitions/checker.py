"""What a parsed definition must be besides well written: alone under its key, and in no circle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from app.definitions.ast import (
    And,
    Body,
    Chain,
    Comparison,
    Condition,
    DateComparison,
    Filter,
    Not,
    Or,
    Place,
    Quantified,
    Reducer,
    Scalar,
    Trait,
    Where,
)
from app.definitions.model import Definition, Scope
from app.definitions.parser import parse
from app.errors import DefinitionError

Node: TypeAlias = Condition | Scalar | Filter | Reducer
Parsed: TypeAlias = tuple[Definition, Body]


def compile_ready(definitions: Sequence[Definition]) -> tuple[list[Parsed], list[DefinitionError]]:
    """Parse and check.

    Returns:
        The definitions that can be compiled, each after all that it refers to; and every problem of the others, in the
        order of the definitions and of their texts. A definition that refers to a refused one is refused itself: it
        would read a custom trait of that key instead.
    """
    bodies: list[Body | None] = []
    unparsed: dict[int, DefinitionError] = {}
    for index, definition in enumerate(definitions):
        try:
            bodies.append(parse(definition))
        except DefinitionError as error:
            bodies.append(None)
            unparsed[index] = error
    checked = _Checked(definitions, bodies)
    errors = [
        error
        for index, problems in enumerate(checked.problems)
        for error in ([unparsed[index], *problems] if index in unparsed else problems)
    ]
    ready: list[Parsed] = []
    for index in checked.order:
        body = bodies[index]
        if body is not None and index not in checked.refused:
            ready.append((definitions[index], body))
    return ready, errors


def check(definitions: Sequence[Definition], bodies: Sequence[Body | None]) -> list[DefinitionError]:
    """Every problem of definitions that have been parsed, in the order of the definitions and of their texts.

    Args:
        bodies: As many as definitions, in the same order; None where the text could not be parsed.
    """
    return [error for problems in _Checked(definitions, bodies).problems for error in problems]


def references(body: Body) -> tuple[str, ...]:
    """The keys that it reads with trait(), each once, in the order of its text."""
    return tuple(dict.fromkeys(node.key for node, _ in _nodes(body) if isinstance(node, Trait)))


def in_dependency_order(parsed: Sequence[Parsed]) -> list[Parsed]:
    """Each after all that it refers to; otherwise the order is kept.

    Raises:
        DefinitionError: for the first cycle.
    """
    checked = _Checked([definition for definition, _ in parsed], [body for _, body in parsed])
    if checked.cycles:
        raise checked.cycle_error(checked.cycles[0])
    return [parsed[index] for index in checked.order]


class _Checked:
    """Definitions by their index, and what is wrong with each."""

    def __init__(self, definitions: Sequence[Definition], bodies: Sequence[Body | None]) -> None:
        self._definitions = definitions
        self._firsts: dict[tuple[Scope, str], int] = {}
        for index, definition in enumerate(definitions):
            self._firsts.setdefault((definition.scope, definition.key), index)
        self._links = [self._links_of(definition, body) for definition, body in zip(definitions, bodies, strict=True)]
        self.order, self.cycles = _depth_first([list(links) for links in self._links])
        """Indexes, each after those that it refers to; and the circles that prevent that."""
        self.problems: list[list[DefinitionError]] = [self._duplicate(index) for index in range(len(bodies))]
        for cycle in self.cycles:
            self.problems[min(cycle)].append(self.cycle_error(cycle))
        self.refused = {index for index, problems in enumerate(self.problems) if problems or bodies[index] is None}
        self.refused.update(index for cycle in self.cycles for index in cycle)
        self._refuse_dependents()
        for problems in self.problems:
            problems.sort(key=lambda problem: (problem.line, problem.column))

    def _links_of(self, definition: Definition, body: Body | None) -> dict[int, Place]:
        """The definitions that one refers to, and where it does so first."""
        links: dict[int, Place] = {}
        for node, of_users in _nodes(body) if body is not None else ():
            if isinstance(node, Trait):
                target = self._target("USERS" if of_users else definition.scope, node.key)
                if target is not None:  # else a custom trait
                    links.setdefault(target, node.at)
        return links

    def _target(self, scope: Scope, key: str) -> int | None:
        """What trait() of a key means to a user or to an account; a user is told what its accounts are, too."""
        target = self._firsts.get((scope, key))
        return self._firsts.get(("ACCOUNTS", key)) if target is None and scope == "USERS" else target

    def _duplicate(self, index: int) -> list[DefinitionError]:
        definition = self._definitions[index]
        first = self._firsts[definition.scope, definition.key]
        if first == index:
            return []
        kind = self._definitions[first].kind
        what = f"the {kind} {definition.key!r} of type {definition.scope} comes before it and has the same key"
        return [_problem(definition, Place(), what, "keys are unique within a type; choose another")]

    def cycle_error(self, cycle: Sequence[int]) -> DefinitionError:
        """Told once, for the member that comes first."""
        start = cycle.index(min(cycle))
        circle = [*cycle[start:], *cycle[: start + 1]]
        at = self._links[circle[0]][circle[1]]
        names = " -> ".join(self._definitions[index].key for index in circle)
        return _problem(self._definitions[circle[0]], at, f"references in a circle: {names}")

    def _refuse_dependents(self) -> None:
        for index in self.order:
            if index in self.refused:
                continue
            for target, at in self._links[index].items():
                if target in self.refused:
                    key = self._definitions[target].key
                    what = f"trait({key!r}) refers to a definition that is refused"
                    self.problems[index].append(_problem(self._definitions[index], at, what, f"mend {key!r} first"))
                    self.refused.add(index)


def _problem(definition: Definition, at: Place, what: str, hint: str = "") -> DefinitionError:
    return DefinitionError(definition.key, line=at.line, column=at.column, found="", expected=what, hint=hint)


def _nodes(node: Node, of_users: bool = False) -> Iterator[tuple[Node, bool]]:
    """A tree's nodes in the order of its text, each with whether it is inside a quantifier, where trait() reads a
    user."""
    yield node, of_users
    children: Sequence[Node] = ()
    match node:
        case Chain(_, filters, reducer):
            children = (*filters, reducer)
        case Where(condition):
            children = (condition,)
        case Comparison(left, _, arguments):
            children = (left, *arguments)
        case DateComparison(left):
            children = (left,)
        case Not(condition):
            children = (condition,)
        case Quantified(_, condition):
            children, of_users = (condition,), True
        case And(conditions) | Or(conditions):
            children = conditions
    for child in children:
        yield from _nodes(child, of_users)


def _depth_first(links: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """An order in which each index follows those that it links to, and a circle for each link that prevents it.

    Without recursion: a thousand definitions may refer to each other in a row.
    """
    order: list[int] = []
    circles: list[list[int]] = []
    met: set[int] = set()
    for root in range(len(links)):
        path = [] if root in met else [root]
        waiting = [iter(links[root])]
        met.add(root)
        while path:
            target = next(waiting[-1], None)
            if target is None:
                waiting.pop()
                order.append(path.pop())
            elif target in path:
                circles.append(path[path.index(target) :])
            elif target not in met:
                met.add(target)
                path.append(target)
                waiting.append(iter(links[target]))
    return order, circles
