"""The oracle's random scenarios of users, cut down to what is evaluated, and what the oracle expects of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from app.definitions.checker import compile_ready
from app.definitions.model import Catalog, Definition, Kind, Scope
from app.ids import profile_id
from tests.oracle.language import define
from tests.oracle.profiles import Record
from tests.oracle.scenario import Options, generate
from tests.oracle.scenario_words import SCALES, TRACK_EVENTS
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

ASKING = "then_"
"""What the keys of definitions begin with that ask what an account was."""

ASKED = 4
"""In how many ways of chance."""


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


def asking(random: Random, scale: str, *, answers: bool) -> tuple[Definition, ...]:
    """Definitions of accounts that ask inside `where` what the account was when an event came, each in another way.

    Args:
        answers: Whether they ask for computed traits and audiences, too: their own, which are made beside them.
    """
    pick, long, short = random.choice, SCALES[scale].long, SCALES[scale].short  # type: ignore[index]
    asked = [
        "trait('plan') = 'pro'", "trait('plan') != 'free'", "trait('industry').contains('re')", "trait('seats') >= 25",
        "trait('plan').absent()", "NOT trait('seats') > 25", "property('price') > trait('seats')",
        f"trait('renewal').within_next({pick(long)})", "trait('plan') = 'pro' AND property('price') >= 40",
    ]  # fmt: skip
    if answers:
        asked += ["trait('was_seen') >= 1", "trait('was_lively') = true", "property('quantity') <= trait('was_seen')"]
    windows = ("", "", f".within({pick(long)})", f".between({pick(short)}, {pick(long)})",
               f".expires_after({pick(short)})", f".expires_after({pick(long)}).within({pick(long)})",
               ".sources(exclude: {'web'})")  # fmt: skip
    reducers = ("count()", "sum(property('price'))", "max(property('price'))", "first(property('sku'))",
                "last(property('sku'))", "unique(property('sku'))", "mode(property('category'), 1)")  # fmt: skip
    definitions = [
        Definition(
            "was_seen", "trait", f"event('Product Viewed'){pick(('', f'.within({pick(long)})'))}.count()", "ACCOUNTS"
        ),
        Definition(
            "was_lively", "audience", f"ANY (event('Product Viewed').within({pick(long)}).count() >= 1)", "ACCOUNTS"
        ),
    ][: 2 * answers]
    for number in range(ASKED):
        event, child = pick(TRACK_EVENTS[:3]), pick((*TRACK_EVENTS[:3], "Page Viewed"))
        where = pick(asked)
        if random.random() < 0.35:
            inside = pick((f"within(parent: {pick(short)})", f"where({pick(asked)})"))
            where = f"{where} {pick(('AND', 'OR'))} event('{child}').{inside}.count() {pick(('> 0', '= 0'))}"
        chain = f"event('{event}').where({where}){pick(windows)}"
        if random.random() < 0.4:
            query, kind = f"{chain}.count() >= {pick((1, 1, 2))}", "audience"
        else:
            query, kind = f"{chain}.{pick(reducers)}", "trait"
        definitions.append(Definition(f"{ASKING}{number}", kind, query, "ACCOUNTS"))  # type: ignore[arg-type]
    # Whoever has done anything while the account was there is seen by one of these.
    for number, event in enumerate(TRACK_EVENTS[:3], start=ASKED):
        query = f"event('{event}').where(trait('plan').exists() OR trait('seats').exists()).count()"
        definitions.append(Definition(f"{ASKING}{number}", "trait", query, "ACCOUNTS"))
    return tuple(definitions)


_SAID = ("type", "event", "name", "category", "properties", "groupId", "traits")
_IDS = ("userId", "anonymousId")


def joined_late(made: Scenario, random: Random) -> Scenario:
    """The scenario with many a group call changed for a later event of the same sender: who joins has done something,
    and the account has been something meanwhile."""
    said = {message["messageId"]: message for _, message in made.messages if "messageId" in message}
    order = list(said)
    for place, id_ in enumerate(order):
        call = said[id_]
        later = [
            each for each in order[place + 1 :]
            if said[each]["type"] in ("track", "page", "screen") and _ids(said[each]) == _ids(call)
        ]  # fmt: skip
        if call["type"] == "group" and later and random.random() < 0.7:
            other = random.choice(later)
            said[id_], said[other] = _saying(call, said[other]), _saying(said[other], call)
    messages = [(at_ms, said.get(message.get("messageId"), message)) for at_ms, message in made.messages]
    return replace(made, messages=messages)


def _ids(message: dict[str, Any]) -> list[Any]:
    return [message.get(each) for each in _IDS]


def _saying(message: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A message that says what another does, in its own place."""
    own = {key: value for key, value in message.items() if key not in _SAID}
    return own | {key: other[key] for key in _SAID if key in other}


def found_out_later(timeline: Timeline, records: Iterable[tuple[int, dict[str, Any]]]) -> int:
    """How many changes of such definitions a user's joining has brought about: by events from before it."""
    joined = {at_ms for at_ms, message in records if message["type"] == "group"}
    return sum(
        change.at_ms in joined
        for by_key in timeline.changes.values()
        for key, changes in by_key.items()
        if key.startswith(ASKING)
        for change in changes
    )


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
