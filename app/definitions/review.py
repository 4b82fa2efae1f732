"""Everything to say about definitions before anything is created: what is refused, and what is allowed but doubtful.

Besides what the checker refuses, a definition is refused here for a comparison that can never hold, for windows that no
event can pass, and for mixing scopes. The stream does not ask: it evaluates what is in its log, where such a definition
is well-defined and false, and a newer version must not drop what an older one has taken.

A doubt is no refusal: a comparison that always holds may be meant ("everybody"), `trait('…')` of a custom trait may
resemble a definition's key by chance, because custom traits are named freely, and events that users keep for ever may
be few.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from app.definitions.ast import Body, Trait
from app.definitions.checker import compile_ready
from app.definitions.meaning import Finding, Reader
from app.definitions.model import Definition, Scope
from app.definitions.parser import parse
from app.errors import DefinitionError

_RESEMBLANCE = 0.8
"""Of two keys, from 0 to 1; `order` and `orders` have 0.9, `orders` and `orders_90_days` 0.6."""
_COMPARED_MAX = 100_000
"""Pairs of keys: about a second. Past them no more resemblances are looked for; they are only hints."""


@dataclass(frozen=True, slots=True)
class Review:
    """In the order of the definitions and of their texts."""

    errors: tuple[DefinitionError, ...]
    doubts: tuple[DefinitionError, ...]


def review(definitions: Sequence[Definition]) -> Review:
    """What is wrong with definitions, and what is odd about them."""
    bodies = [_body(definition) for definition in definitions]
    known = _Known(definitions, bodies)
    errors = list(compile_ready(definitions)[1])
    doubts: list[DefinitionError] = []
    for definition, body in zip(definitions, bodies, strict=True):
        for finding in known.findings(definition, body) if body is not None else ():
            (doubts if finding.is_doubt else errors).append(_error(definition.key, finding))
    return Review(_in_order(errors, definitions), _in_order(doubts, definitions))


def _body(definition: Definition) -> Body | None:
    try:
        return parse(definition)
    except DefinitionError:  # the checker tells it
        return None


def _error(key: str, finding: Finding) -> DefinitionError:
    at = finding.at
    return DefinitionError(
        key, line=at.line, column=at.column, found=finding.found, expected=finding.expected, hint=finding.hint
    )


def _in_order(errors: Sequence[DefinitionError], definitions: Sequence[Definition]) -> tuple[DefinitionError, ...]:
    places: dict[str, int] = {}
    for place, definition in enumerate(definitions):
        places.setdefault(definition.key, place)
    return tuple(sorted(errors, key=lambda error: (places[error.key], error.line, error.column)))


class _Known:
    """All definitions, by scope and key; of two with one key the first."""

    def __init__(self, definitions: Sequence[Definition], bodies: Sequence[Body | None]) -> None:
        self._definitions: Mapping[Scope, dict[str, Definition]] = {"USERS": {}, "ACCOUNTS": {}}
        self._bodies: Mapping[Scope, dict[str, Body]] = {"USERS": {}, "ACCOUNTS": {}}
        for definition, body in zip(definitions, bodies, strict=True):
            first = self._definitions[definition.scope].setdefault(definition.key, definition)
            if first is definition and body is not None:
                self._bodies[definition.scope][definition.key] = body
        self._read_by: Mapping[Scope, Mapping[str, Body]] = {
            "USERS": {**self._bodies["ACCOUNTS"], **self._bodies["USERS"]},
            "ACCOUNTS": self._bodies["ACCOUNTS"],
        }
        self._folded = {
            scope: {_folded(key): key for key in definitions} for scope, definitions in self._definitions.items()
        }
        self._resembling: dict[tuple[Scope, str], list[str]] = {}

    def findings(self, definition: Definition, body: Body) -> Iterator[Finding]:
        reader = Reader(own=self._read_by[definition.scope], of_users=self._bodies["USERS"])
        reader.read(body)
        yield from reader.findings
        for trait, of_users, in_where, for_ever in reader.traits:
            scope: Scope = "USERS" if of_users else definition.scope
            yield from self._name(trait, scope, definition)
            if in_where and for_ever and scope == "ACCOUNTS":
                yield _kept_for_ever(trait)

    def _name(self, trait: Trait, scope: Scope, reader: Definition) -> Iterator[Finding]:
        """What is odd about a key that names no definition of the scope that trait() reads here."""
        if trait.key in self._definitions[scope]:
            return
        found = f"trait({trait.key!r})"
        other: Scope = "ACCOUNTS" if scope == "USERS" else "USERS"
        if trait.key in self._definitions[other] and reader.scope == "USERS":
            return  # what its accounts tell it
        if trait.key in self._definitions[other]:
            what = "an audience" if self._definitions[other][trait.key].kind == "audience" else "a computed trait"
            expected = (
                f"a trait of {scope.lower()}, which trait() reads here; {trait.key!r} is {what} of {other.lower()}"
            )
            yield Finding(trait.at, found, expected, _elsewhere(scope))
            return
        for near in self._resembled(trait.key, scope):
            if near != reader.key:
                expected = "the key of a definition, or a custom trait of that name"
                yield Finding(trait.at, found, expected, f"did you mean {near!r}?", is_doubt=True)
                return

    def _resembled(self, key: str, scope: Scope) -> list[str]:
        """The two keys most like it; the same few custom traits are read again and again."""
        known = self._resembling.get((scope, key))
        if known is None:
            folded = self._folded[scope]
            compared = len(self._resembling) * len(folded)
            near = get_close_matches(_folded(key), folded, n=2, cutoff=_RESEMBLANCE) if compared < _COMPARED_MAX else []
            known = self._resembling[scope, key] = [folded[each] for each in near]
        return known


def _kept_for_ever(trait: Trait) -> Finding:
    """An account sees events from before their user joined it, and `where` asks what the account was at each. So every
    user keeps such events for as long as they can count, whatever accounts it may join, and the account what it was."""
    found = f"trait({trait.key!r})"
    expected = (
        "a window on the event: for accounts that they may join later users keep each such event for as long as it can "
        "count, and without a window that is for ever"
    )
    return Finding(trait.at, found, expected, f"add within(…); or compare {found} outside of where", is_doubt=True)


def _elsewhere(read: Scope) -> str:
    """Where in a definition of accounts a trait of the other scope than the one read here can stand."""
    return "put it into ANY (…), ALL (…) or NONE (…)" if read == "ACCOUNTS" else "put it outside of ANY, ALL and NONE"


def _folded(key: str) -> str:
    """Big Spenders, big-spenders and big_spenders are alike."""
    return key.casefold().replace(" ", "_").replace("-", "_")
