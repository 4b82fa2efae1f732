"""What must hold when a simulated world is at rest."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import orjson

from app.events.dates import instant
from app.profiles import codec
from app.profiles.store import PROFILE, TIMER, timer_key
from tests.oracle.timeline import Timeline
from tests.oracle.values import same
from tests.scenarios import Scenario, expected, expected_changes, profile_of, scenario
from tests.simulation.world import TOPICS, Arrival, Faults, World


def run_and_check(seed: int, faults: Faults, *, partitions: int = 2) -> World:
    """Run one scenario under one schedule and compare everything with the oracle; the seed names both."""
    # After a long outage a repeat may come later than the window of message ids promises to remember.
    made = scenario(seed, events=60, profiles=15, definitions=24, duplicates=not faults.outage)
    world = World(seed, made.catalog, arrivals(made, partitions), made.until_ms, partitions=partitions, faults=faults)
    try:
        world.run()
        received = [(record.timestamp, orjson.loads(record.value or b"")) for record in world.received]
        timeline = expected(made.definitions, received, world.now_ms)
        check_changes(world, timeline)
        check_finals(world, made, timeline)
        check_stores(world)
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
    bodies: dict[str, Any] = {}
    observed: dict[tuple[str, str], list[tuple[int, Any]]] = defaultdict(list)
    for id_, data in world.changes():
        if id_ in bodies:
            assert bodies[id_] == data, f"one id, two bodies: {bodies[id_]} and {data}"
            assert world.crashes, f"a repeat without a crash: {data}"
            continue
        bodies[id_] = data
        at_ms = instant(data["at"])
        assert at_ms is not None
        observed[data["profile"], data["key"]].append((at_ms, data["value"]))
    wanted = expected_changes(timeline)
    assert set(observed) == set(wanted), f"changed, but should not, or the other way: {set(observed) ^ set(wanted)}"
    for place, changes in wanted.items():
        assert _all_same(observed[place], changes), f"{place}: expected {changes}, observed {observed[place]}"


def check_finals(world: World, made: Scenario, timeline: Timeline) -> None:
    """Every profile's final answers, as the stores have them."""
    audiences = {each.key for each in made.definitions if each.kind == "audience"}
    stored = {
        profile.decode(): codec.decode(data).emitted for store in world.stores for profile, data in store.profiles()
    }
    wanted = {profile_of(subject, timeline): values for subject, values in timeline.finals.items()}
    assert set(stored) == set(wanted)
    for profile, values in wanted.items():
        held = dict.fromkeys(audiences, False) | stored[profile]
        assert set(held) == set(values), f"{profile}: {set(held) ^ set(values)}"
        for key, value in values.items():
            assert same(held[key], value), f"{profile} {key}: expected {value}, stored {held[key]}"


def check_stores(world: World) -> None:
    """Each store is the fold of its changelog; a timer is in the index exactly when its profile is armed for it."""
    for partition, store in enumerate(world.stores):
        folded: dict[bytes, bytes] = {}
        for record in world.log.partitions[TOPICS.profiles_changelog, partition]:
            if record.key is not None and record.key.startswith(PROFILE) and record.value is not None:
                held = folded.get(record.key)
                if held is None or codec.w_of(record.value) >= codec.w_of(held):
                    folded[record.key] = record.value
        assert folded == {PROFILE + profile: data for profile, data in store.profiles()}
        armed = {timer_key(due, profile) for profile, data in store.profiles() if (due := codec.armed_due_of(data))}
        assert armed == {key for key in store.data if key.startswith(TIMER)}


def _all_same(observed: list[tuple[int, Any]], wanted: list[tuple[int, Any]]) -> bool:
    return len(observed) == len(wanted) and all(
        at_ms == wanted_at and same(value, wanted_value)
        for (at_ms, value), (wanted_at, wanted_value) in zip(observed, wanted, strict=True)
    )
