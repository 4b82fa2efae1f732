"""What must hold when a simulated world is at rest."""

from __future__ import annotations

import orjson

from app.profiles import codec
from app.profiles.store import BROUGHT, PART, TIMER, WAITING
from tests.equality import (
    changes_of,
    check_finals,
    check_sequences,
    check_store,
    deduplicated,
    finals_of,
    waiting,
)  # fmt: skip
from tests.oracle.timeline import Timeline
from tests.scenarios import Scenario, expected, expected_changes, scenario
from tests.simulation.hosts import ComputeHost
from tests.simulation.world import Arrival, Faults, World


def run_and_check(seed: int, faults: Faults, *, partitions: int = 2) -> World:
    """Run one scenario by the simple rule under one schedule and compare everything with the oracle."""
    made = scenario(seed, events=60, profiles=12, definitions=10)
    world = World(seed, made.catalog, arrivals(made, partitions), made.until_ms, partitions=partitions, faults=faults)
    try:
        world.restored = check_store_of
        world.run()
        received = [(record.timestamp, orjson.loads(record.value or b"")) for record in world.received]
        timeline = expected(made.definitions, received, world.now_ms)
        check_changes(world, timeline)
        stored = [each for host in world.computers for each in host.store.profiles()]
        check_finals(made.definitions, stored, finals_of(timeline))
        for host in world.computers:
            check_store_of(host)
    except Exception as error:
        error.add_note(f"replay with: SEED={seed} python -m pytest tests/simulation -k one_seed   ({faults})")
        raise
    return world


def arrivals(made: Scenario, partitions: int) -> list[Arrival]:
    """A scenario's messages; one sender's stay in order, as a keyed producer keeps them."""
    return [
        Arrival(at_ms, sum(str(message.get("userId")).encode()) % partitions, orjson.dumps(message))
        for at_ms, message in made.messages
    ]


def check_changes(world: World, timeline: Timeline) -> None:
    """The sequence of changes, with instants; a repeat has the id and the body of its original."""
    bodies = deduplicated(world.remains().changes(), repeats_allowed=bool(world.crashes))
    check_sequences(changes_of(bodies.values()), expected_changes(timeline))


def check_store_of(host: ComputeHost) -> None:
    """A store is the fold of its changelog, its index that of its profiles."""
    store = host.store
    assert host.changelog is not None
    changelog = host.cluster.log.partitions[host.changelog, host.partition]
    timers = {key for key in store.data if key.startswith(TIMER)}
    check_store(store.profiles(), timers, [(record.key, record.value) for record in changelog])
    named = {PART + profile + name for profile, data in store.profiles() for name in codec.decode(data).parts}
    assert named <= store.data.keys(), "a profile names parts that are not there"
    assert {key: value for key, value in store.data.items() if key.startswith((WAITING, BROUGHT))} == waiting(
        (record.key, record.value) for record in changelog
    ), "what waits differs from the changelog"
