"""Everything that a stopped worker left behind, against the oracle."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import orjson

from app.definitions.model import Catalog
from app.ids import derived_id
from app.kafka.consumer import RawRecord
from app.profiles import codec
from tests.equality import changes_of, check_finals, check_sequences, check_store, deduplicated
from tests.faults.deployment import Deployment, Stored
from tests.faults.oracle import senders_of, wanted

Partitions = Sequence[Sequence[RawRecord]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was compared and found equal."""

    events: int
    profiles: int
    changes: int
    changes_repeated: int
    payloads: int
    payloads_repeated: int
    dead: int
    dead_repeated: int
    armed: int
    """Timers that are armed at the end."""

    def __str__(self) -> str:
        return ", ".join(f"{field.name} {getattr(self, field.name)}" for field in fields(self))


async def check_everything(
    deployment: Deployment,
    until_ms: int,
    is_valid: Callable[[bytes | None], bool],
    *,
    repeats_allowed: bool = True,
) -> Figures:
    """Compare sequences, final answers, payloads, dead letters and stores; the worker must be stopped and at rest.

    Args:
        until_ms: Up to here time has passed for everybody.
        is_valid: Whether a value of `events.raw` is a message; known to whoever sent it.
    """
    topics, catalog = deployment.topics, deployment.catalog
    names = (topics.events_raw, topics.changes, topics.events_dead, topics.profiles_changelog)
    raw, changes, dead, changelog = [await deployment.read(name) for name in names]
    destinations = {name: await deployment.read(topics.destination(name)) for name, _ in catalog.destination_types}
    stored = deployment.stored()
    check_stores(stored, changelog, until_ms)
    profiles = [each for store in stored for each in store.profiles.items()]
    told = deduplicated(by_id(changes, "ce_id"), repeats_allowed=repeats_allowed)
    bodies = {id_: orjson.loads(value) for id_, value in told.items()}
    payloads = 0
    for name, records in destinations.items():
        payloads += check_payloads(catalog, name, bodies, records, repeats_allowed=repeats_allowed)
    letters = check_dead(topics.events_raw, raw, dead, is_valid, repeats_allowed=repeats_allowed)
    # The oracle last: it takes the longest by far.
    senders = senders_of(raw, is_valid)
    expected_changes, finals = await asyncio.to_thread(wanted, catalog.definitions, senders, until_ms)
    check_sequences(changes_of(bodies.values()), expected_changes)
    check_finals(catalog.definitions, profiles, finals)
    return Figures(
        events=_count(raw),
        profiles=len(profiles),
        changes=len(told),
        changes_repeated=_count(changes) - len(told),
        payloads=payloads,
        payloads_repeated=sum(map(_count, destinations.values())) - payloads,
        dead=letters,
        dead_repeated=_count(dead) - letters,
        armed=sum(len(store.timers) for store in stored),
    )


def check_stores(stored: Sequence[Stored], changelog: Partitions, until_ms: int) -> None:
    """Whoever has a partition last has the fold of its changelog, and no timer of it is overdue."""
    for store, log in zip(stored, changelog, strict=True):
        check_store(store.profiles.items(), store.timers, [(record.key, record.value) for record in log])
        overdue = [profile for profile, data in store.profiles.items() if 0 < codec.armed_due_of(data) <= until_ms]
        assert not overdue, f"{len(overdue)} timers are overdue, of {overdue[0]!r} and others"


def check_payloads(
    catalog: Catalog, destination: str, changes: Mapping[str, Mapping[str, Any]], records: Partitions, *,
    repeats_allowed: bool,
) -> int:  # fmt: skip
    """A destination has one payload for each change and call, no other, in the order of the changes; how many.

    For profiles with one user id and no e-mail.
    """
    expected: dict[str, tuple[Any, ...]] = {}
    for id_, change in changes.items():
        (user,) = [each["value"] for each in change["identifiers"] if each["type"] == "user_id"]
        for subscription in catalog.subscriptions:
            if subscription.definition == change["key"] and subscription.destination == destination:
                for call in subscription.calls:
                    place = (change["profile"], change["at"], change["key"], call, user, change["value"])
                    expected[derived_id(id_, destination, call, user, "")] = place
    observed = deduplicated(by_id(records, "message-id"), repeats_allowed=repeats_allowed)
    assert expected.keys() == observed.keys(), (
        f"{destination}: {len(expected.keys() - observed.keys())} payloads are missing, "
        f"{len(observed.keys() - expected.keys())} are not explained by any change"
    )
    newest: dict[str, int] = defaultdict(int)
    for id_, value in observed.items():
        body = orjson.loads(value)
        call, key = body["payload"], body["computation"]["key"]
        held = call["traits" if call["type"] == "identify" else "properties"][key]
        assert expected[id_] == (body["profile"], body["at"], key, call["type"], call["userId"], held), body
        assert body["sequence"] >= newest[body["profile"]], f"an older change came later: {body}"
        newest[body["profile"]] = body["sequence"]
    return len(observed)


def check_dead(
    topic: str, raw: Partitions, dead: Partitions, is_valid: Callable[[bytes | None], bool], *, repeats_allowed: bool
) -> int:
    """Each malformed record is there under its position, with its bytes, and nothing else is; how many."""
    expected = {
        f"{topic}-{partition}-{record.offset}": record.value
        for partition, records in enumerate(raw)
        for record in records
        if not is_valid(record.value)
    }
    keyed = ((str(record.key, "utf-8"), record.value) for records in dead for record in records if record.key)
    observed = deduplicated(keyed, repeats_allowed=repeats_allowed)
    assert expected.keys() == observed.keys(), f"dead letters: {expected.keys() ^ observed.keys()}"
    for position, letter in observed.items():
        told, original = orjson.loads(letter)["original"], expected[position]
        assert (None if told is None else b64decode(told)) == (None if original is None else original[: 64 * 1024])
    return len(observed)


def by_id(partitions: Partitions, header: str) -> list[tuple[str, bytes | None]]:
    """(id, value) of every record, by the header that has its id."""
    found: list[tuple[str, bytes | None]] = []
    for records in partitions:
        for record in records:
            id_ = dict(record.headers)[header]
            assert id_ is not None
            found.append((id_.decode(), record.value))
    return found


def _count(partitions: Partitions) -> int:
    return sum(map(len, partitions))
