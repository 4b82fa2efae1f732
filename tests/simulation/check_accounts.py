"""What must hold when a simulated world with accounts is at rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any
from unittest.mock import patch

import orjson

from app.definitions.model import Definition, Scope
from app.profiles import codec
from app.profiles.store import BROUGHT, WAITING
from app.stages import reports
from tests.equality import Changes, changes_of, check_sequences, deduplicated
from tests.oracle.timeline import Timeline
from tests.oracle.values import same
from tests.scenarios import Scenario, asking, expected, found_out_later, joined_late, profile_of, scenario
from tests.simulation.checks import arrivals, check_store_of
from tests.simulation.hosts import ComputeHost
from tests.simulation.world import Faults, World

OF_ACCOUNT = "account:"
PIECE_BYTES = 24
"""So that who joins an account brings some things along in one record and others in several."""


def made_of(seed: int) -> Scenario:
    """The scenario of a seed; in one of three, definitions ask what accounts were, and many users join late."""
    made = scenario(seed, events=60, profiles=8, definitions=16, accounts=True)
    if seed % 3 != 2:
        return made
    random = Random(f"asking {seed}")
    late = joined_late(made, random)
    return replace(late, definitions=(*late.definitions, *asking(random, "days", answers=True)))


def run_accounts(seed: int, faults: Faults, partitions: int = 2) -> Counter[str]:
    """One scenario of people and their accounts under one schedule, compared with the oracle; the seed names both."""
    made = made_of(seed)
    world = World(seed, made.catalog, arrivals(made, partitions), made.until_ms, partitions=partitions, faults=faults)
    try:
        world.restored = check_store_of
        with patch.object(reports, "PIECE_BYTES", PIECE_BYTES):
            world.run()
        received = [(record.timestamp, orjson.loads(record.value or b"")) for record in world.received]
        timeline = expected(made.definitions, received, world.now_ms)
        bodies = deduplicated(world.remains().changes(), repeats_allowed=bool(world.crashes))
        check_sequences(changes_of(bodies.values()), wanted_changes(timeline))
        finals = check_finals(made, world.computers, "USERS", timeline)
        finals += check_finals(made, world.accounts, "ACCOUNTS", timeline)
        for host in (*world.computers, *world.accounts):
            check_store_of(host)
            assert not [*host.store.keys(WAITING), *host.store.keys(BROUGHT)], "at rest something still waits"
    except Exception as error:
        error.add_note(
            f"replay with: SEED={seed} python -m pytest tests/simulation -k one_seed_of_accounts   ({faults})"
        )
        raise
    of_accounts = {each.key for each in made.definitions if each.scope == "ACCOUNTS"}
    flips = sum(body["key"] in of_accounts for body in bodies.values())
    return Counter(
        scenarios=1, definitions=len(of_accounts), flips=flips, finals=finals, crashes=world.crashes,
        found_out_later=found_out_later(timeline, received),
    )  # fmt: skip


def name_of(subject: str, timeline: Timeline) -> str:
    """What we call the oracle's subject."""
    return subject.removeprefix(OF_ACCOUNT) if subject.startswith(OF_ACCOUNT) else profile_of(subject, timeline)


def wanted_changes(timeline: Timeline) -> Changes:
    """(profile or account, definition) → (at, value) of each change, in order."""
    return {
        (name_of(subject, timeline), key): [(change.at_ms, change.value) for change in changes]
        for subject, by_key in timeline.changes.items()
        for key, changes in by_key.items()
    }


def check_finals(made: Scenario, hosts: Iterable[ComputeHost], scope: Scope, timeline: Timeline) -> int:
    """The final answers of everybody, or of every account, as stores have them; how many."""
    wanted = {
        name_of(subject, timeline): values
        for subject, values in timeline.finals.items()
        if subject.startswith(OF_ACCOUNT) == (scope == "ACCOUNTS")
    }
    stored = {key.decode(): codec.decode(data).emitted for host in hosts for key, data in host.store.profiles()}
    return check_values([each for each in made.definitions if each.scope == scope], stored, wanted)


def check_values(
    definitions: Sequence[Definition], stored: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Mapping[str, Any]]
) -> int:
    """What stands emitted of some definitions, by name of user or account; how many values were compared."""
    keys = {each.key for each in definitions}
    audiences = [each.key for each in definitions if each.kind == "audience"]
    assert stored.keys() == wanted.keys()
    for name, values in wanted.items():
        held = dict.fromkeys(audiences, False) | {key: stored[name][key] for key in keys & stored[name].keys()}
        _check(name, held, values)
    return sum(map(len, wanted.values()))


def _check(name: str, held: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key in held.keys() | wanted.keys():
        ours, theirs = held.get(key), wanted.get(key)
        assert (key in held) == (key in wanted), f"{name} {key}: {theirs} expected, stored {ours}"
        assert same(ours, theirs), f"{name} {key}: {theirs} expected, stored {ours}"
