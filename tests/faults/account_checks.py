"""Everything about accounts that a stopped worker left behind, against the oracle."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import orjson

from app.definitions.model import Catalog, Definition, Scope
from app.ids import derived_id, profile_id
from app.kafka.consumer import RawRecord
from app.profiles import codec
from tests.equality import Changes, changes_of, check_sequences, deduplicated, waiting
from tests.faults.checks import by_id, check_stores
from tests.faults.deployment import Deployment
from tests.oracle.timeline import Timeline
from tests.oracle.values import same
from tests.scenarios import ASKING, expected, found_out_later
from tests.simulation.check_accounts import OF_ACCOUNT, check_values, name_of, wanted_changes

Partitions = Sequence[Sequence[RawRecord]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was compared and found equal."""

    events: int
    accounts: int
    members: int
    """Of all accounts together."""
    changes_of_accounts: int
    sequences: int
    """Of an account and a definition: all its changes, to the instant."""
    tied: int
    """Those of accounts of which two users did something in the same millisecond: nobody knows in which order."""
    groups: int
    """Payloads with a group call."""
    told: int
    """Values of accounts that their users were told, as payloads."""
    finals: int
    pieces: int
    """Of what users brought along to accounts."""
    found_out_later: int
    """Changes by what users had done before they joined, judged by what the account was."""

    def __str__(self) -> str:
        return ", ".join(f"{field.name} {getattr(self, field.name)}" for field in fields(self))


async def check_accounts(deployment: Deployment, until_ms: int, destination: str) -> Figures:
    """Compare users and accounts; the worker must be stopped and at rest.

    Of users and of accounts every change is compared, that no value is told twice in a row, and that destinations were
    told exactly that. Only of accounts with users who did something in the same millisecond, what they stand at.

    Args:
        until_ms: Up to here time has passed for everybody.
        destination: One that all definitions of accounts are connected to, with every call.
    """
    topics, catalog = deployment.topics, deployment.catalog
    raw, changes, payloads, said = [
        await deployment.read(name)
        for name in (topics.events_raw, topics.changes, topics.destination(destination), topics.accounts_in)
    ]
    users = _profiles(deployment, "users", await deployment.read(topics.profiles_changelog), until_ms)
    accounts = _profiles(deployment, "accounts", await deployment.read(topics.accounts_changelog), until_ms)
    received = _received(raw)
    timeline = await asyncio.to_thread(expected, catalog.definitions, received, until_ms)
    tied = _tied(timeline, received)
    bodies = {
        id_: orjson.loads(value) for id_, value in deduplicated(by_id(changes, "ce_id"), repeats_allowed=True).items()
    }
    observed, wanted = changes_of(bodies.values()), wanted_changes(timeline)
    check_sequences(_without(observed, tied), _without(wanted, tied))
    _check_alternating(observed)
    finals = _check_finals(catalog, "USERS", users, timeline, tied)
    finals += _check_finals(catalog, "ACCOUNTS", accounts, timeline, tied)
    of_users = _keys(catalog, "USERS")
    sequences = [place for place in observed.keys() | wanted.keys() if place[1] not in of_users]
    sent = [
        orjson.loads(value)
        for value in deduplicated(by_id(payloads, "message-id"), repeats_allowed=True).values()
    ]  # fmt: skip
    of_accounts = {id_: body for id_, body in bodies.items() if body["key"] in _keys(catalog, "ACCOUNTS")}
    return Figures(
        events=sum(map(len, raw)),
        accounts=len(accounts),
        members=sum(map(len, timeline.accounts.values())),
        changes_of_accounts=len(of_accounts),
        sequences=len(sequences),
        tied=sum(place[0] in tied for place in sequences),
        groups=_check_groups(of_accounts, sent, destination),
        told=_check_told(catalog, timeline, accounts, sent),
        finals=finals,
        pieces=sum(b'"kind":"brought"' in (each.value or b"") for records in said for each in records),
        found_out_later=found_out_later(timeline, received),
    )


def _profiles(
    deployment: Deployment, collection: Any, changelog: Partitions, until_ms: int
) -> dict[str, Mapping[str, Any]]:
    """Name → what was last emitted, of stores that are the fold of their changelogs."""
    found: dict[str, Mapping[str, Any]] = {}
    stored = deployment.stored(collection)
    check_stores(stored, changelog, until_ms)
    for store, log in zip(stored, changelog, strict=True):
        assert not waiting((record.key, record.value) for record in log), "at rest something still waits"
        found |= {name.decode(): codec.decode(data).emitted for name, data in store.profiles.items()}
    return found


def _received(raw: Partitions) -> list[tuple[int, dict[str, Any]]]:
    records = [(each.timestamp, place, each) for place, partition in enumerate(raw) for each in partition]
    records.sort(key=lambda record: (record[0], record[1], record[2].offset))
    return [(at_ms, orjson.loads(each.value or b"")) for at_ms, _, each in records]


def _keys(catalog: Catalog, scope: Scope) -> set[str]:
    return {each.key for each in catalog.definitions if each.scope == scope}


def _tied(timeline: Timeline, received: Sequence[tuple[int, Mapping[str, Any]]]) -> set[str]:
    """Accounts of which two users did something in the same millisecond."""
    together: dict[int, set[str]] = defaultdict(set)
    for at_ms, message in received:
        together[at_ms].add(profile_id("user_id", message["userId"]))
    return {
        account.removeprefix(OF_ACCOUNT)
        for account, users in timeline.accounts.items()
        if any(len(each & {name_of(user, timeline) for user in users}) > 1 for each in together.values())
    }


def _without(changes: Changes, names: set[str]) -> Changes:
    return {place: each for place, each in changes.items() if place[0] not in names}


def _check_alternating(observed: Changes) -> None:
    for place, changes in observed.items():
        for (_, before), (_, after) in pairwise(changes):
            assert not same(before, after), f"{place}: {after} was told twice in a row"


def _check_finals(
    catalog: Catalog, scope: Scope, stored: Mapping[str, Mapping[str, Any]], timeline: Timeline, tied: set[str]
) -> int:
    """Of an account that is tied 0, null and absent are the same: a trait may have had a value in between. And what it
    was at an event depends on which came first."""
    wanted = {
        name_of(subject, timeline): values
        for subject, values in timeline.finals.items()
        if subject.startswith(OF_ACCOUNT) == (scope == "ACCOUNTS")
    }
    given, wanted = _unless_nothing(stored, tied), _unless_nothing(wanted, tied)
    return check_values([each for each in catalog.definitions if each.scope == scope], given, wanted)


def _unless_nothing(values: Mapping[str, Mapping[str, Any]], tied: set[str]) -> dict[str, Mapping[str, Any]]:
    return {
        name: {
            key: value
            for key, value in held.items()
            if not (name in tied and (_is_nothing(value) or key.startswith(ASKING)))
        }
        for name, held in values.items()
    }


def _is_nothing(value: Any) -> bool:
    return value is None or value == [] or (value == 0 and value is not False)


def _check_groups(changes: Mapping[str, Mapping[str, Any]], sent: Sequence[Mapping[str, Any]], destination: str) -> int:
    """One group call for each change of an account, and no other; how many."""
    wanted = {
        derived_id(id_, destination, "group", body["profile"], ""): (
            body["profile"],
            body["key"],
            body["value"],
            body["at"],
        )
        for id_, body in changes.items()
    }
    found = {
        each["id"]: (
            each["payload"]["groupId"], each["computation"]["key"],
            each["payload"]["traits"][each["computation"]["key"]], each["at"],
        )
        for each in sent if each["payload"]["type"] == "group"
    }  # fmt: skip
    assert found == wanted, f"group calls and changes of accounts differ: {found.keys() ^ wanted.keys()}"
    return len(found)


def _check_told(
    catalog: Catalog, timeline: Timeline, accounts: Mapping[str, Mapping[str, Any]], sent: Sequence[Mapping[str, Any]]
) -> int:
    """What users were told of their accounts: an audience alternates, and what was told last is so; how many."""
    told: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for each in sent:
        if each["payload"]["type"] == "identify":
            key = each["computation"]["key"]
            told[each["profile"], key].append(each["payload"]["traits"][key])
            assert each["payload"]["context"]["groupId"] in accounts, each
    belongs: dict[str, list[str]] = defaultdict(list)
    for account, members in timeline.accounts.items():
        for member in members:
            belongs[name_of(member, timeline)].append(account.removeprefix(OF_ACCOUNT))
    assert {user for user, _ in told} <= belongs.keys(), "somebody without an account was told of one"
    for user, of in belongs.items():
        for definition in (each for each in catalog.definitions if each.scope == "ACCOUNTS"):
            _check_one(definition, user, told.get((user, definition.key), []), [accounts[name] for name in of])
    return sum(map(len, told.values()))


def _check_one(definition: Definition, user: str, told: Sequence[Any], of: Sequence[Mapping[str, Any]]) -> None:
    what = f"{user} was told {told} of {definition.key}, its accounts have {[each.get(definition.key) for each in of]}"
    if definition.kind == "audience":
        assert all(value is (number % 2 == 0) for number, value in enumerate(told)), what
        assert (told[-1] if told else False) is any(each.get(definition.key, False) for each in of), what
    elif told:
        assert any(same(told[-1], each.get(definition.key)) for each in of), what
    else:
        # As anywhere, a first value of 0, null or an empty list is not told; an account may be back there.
        assert all(each.get(definition.key) in (None, 0, []) for each in of), what
