"""The oracle's random scenarios of users, cut down to what is evaluated, and what the oracle expects of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.definitions.checker import compile_ready
from app.definitions.model import Catalog, Definition, Kind, Scope
from app.ids import profile_id
from tests.oracle.language import Quantified, TraitRef, Where, define, walk
from tests.oracle.profiles import Record
from tests.oracle.scenario import Options, generate
from tests.oracle.timeline import Timeline, simulate

OPTIONS = Options(
    definitions=40,
    accounts=False,
    anonymous=False,
    other_identifiers=False,
    blocked_values=False,
    alias=False,
    merges=False,
    conflicts=False,
)
"""Identity is the simple rule, where every profile of the oracle is one user id."""


@dataclass(frozen=True)
class Scenario:
    seed: int
    definitions: tuple[Definition, ...]
    messages: list[tuple[int, dict[str, Any]]]
    """(received at, message), in order of arrival."""
    until_ms: int

    @property
    def catalog(self) -> Catalog:
        return Catalog(definitions=self.definitions)


def scenario(seed: int, **switches: Any) -> Scenario:
    """The scenario of a seed with those definitions that are evaluated, and refer to none that is not."""
    options = Options(**{**OPTIONS.__dict__, **switches})
    made = generate(seed, options)
    definitions = tuple(_definition(each) for each in made.definitions)
    while True:
        _, errors = compile_ready(definitions)
        refused = {error.key for error in errors}
        kept = tuple(each for each in definitions if each.key not in refused)
        if kept == definitions:
            break
        definitions = kept
    messages = [(int(each["received_at_ms"]), each["message"]) for each in made.records]  # type: ignore[call-overload]
    return Scenario(seed, definitions, messages, made.until_ms)  # type: ignore[arg-type]


def _definition(each: dict[str, Any]) -> Definition:
    kind: Kind = each["kind"]
    scope: Scope = each["type"]
    return Definition(
        key=each["key"], kind=kind, query=each["query"], scope=scope,
        include_anonymous_users=each["include_anonymous_users"],
    )  # fmt: skip


def reads_what_an_account_was(definition: Definition) -> bool:
    """Whether it asks what the account was when an event was applied: trait() inside `where`, and in no quantifier."""
    if definition.scope == "USERS":
        return False
    body = define(definition.key, definition.kind, definition.scope, definition.query).body
    of_users = {id(node) for found in walk(body) if isinstance(found, Quantified) for node in walk(found)}
    wheres = (node for node in walk(body) if isinstance(node, Where) and id(node) not in of_users)
    return any(isinstance(each, TraitRef) for where in wheres for each in walk(where.condition))


def expected(
    definitions: Iterable[Definition], records: Iterable[tuple[int, dict[str, Any]]], until_ms: int
) -> Timeline:
    """What the oracle says of records as they were received."""
    return simulate(
        [define(each.key, each.kind, each.scope, each.query, each.include_anonymous_users) for each in definitions],
        [Record(at_ms, message) for at_ms, message in records],
        until_ms,
    )


def profile_of(subject: str, timeline: Timeline) -> str:
    """Our id of the oracle's profile."""
    for identifier in timeline.identifiers[subject]:
        kind, _, value = identifier.partition(":")
        if kind == "user_id":
            return profile_id("user_id", value)
    (only,) = (each for each in timeline.identifiers[subject] if each.startswith("anonymous_id:"))
    return profile_id("anonymous_id", only.partition(":")[2])


def expected_changes(timeline: Timeline) -> dict[tuple[str, str], list[tuple[int, Any]]]:
    """(profile, definition) → (at, value) of each change, in order."""
    return {
        (profile_of(subject, timeline), key): [(change.at_ms, change.value) for change in changes]
        for subject, by_key in timeline.changes.items()
        for key, changes in by_key.items()
    }
