"""What must hold of a stream at rest, wherever it ran: in the simulation or on a real broker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from typing import Any

from app.definitions.model import Definition
from app.events.dates import instant
from app.profiles import codec
from app.profiles.store import BROUGHT, PROFILE, WAITING, timer_key
from tests.oracle.timeline import Timeline
from tests.oracle.values import same
from tests.scenarios import profile_of

Changes = dict[tuple[str, str], list[tuple[int, Any]]]
"""(profile, definition) → (at, value) of each change, in order."""


def deduplicated(records: Iterable[tuple[str, Any]], *, repeats_allowed: bool) -> dict[str, Any]:
    """Id → body, in order of first sight; a repeat must have the body of its original."""
    bodies: dict[str, Any] = {}
    for id_, body in records:
        if id_ in bodies:
            assert bodies[id_] == body, f"one id, two bodies: {bodies[id_]} and {body}"
            assert repeats_allowed, f"a repeat without a crash: {body}"
        else:
            bodies[id_] = body
    return bodies


def changes_of(bodies: Iterable[Mapping[str, Any]]) -> Changes:
    """The sequences that the data of `changes` amount to, repeats left out before."""
    observed: Changes = defaultdict(list)
    for data in bodies:
        at_ms = instant(data["at"])
        assert at_ms is not None
        observed[data["profile"], data["key"]].append((at_ms, data["value"]))
    return observed


def check_sequences(observed: Changes, wanted: Changes) -> None:
    """Every change, at its instant, in its place, and none besides."""
    assert set(observed) == set(wanted), f"changed, but should not, or the other way: {set(observed) ^ set(wanted)}"
    for place, changes in wanted.items():
        assert are_same(observed[place], changes), f"{place}: expected {changes}, observed {observed[place]}"


def check_finals(
    definitions: Iterable[Definition], profiles: Iterable[tuple[bytes, bytes]], wanted: Mapping[str, Mapping[str, Any]]
) -> None:
    """Every profile's final answers, as stores have them."""
    audiences = {each.key for each in definitions if each.kind == "audience"}
    stored = {profile.decode(): codec.decode(data).emitted for profile, data in profiles}
    assert set(stored) == set(wanted)
    for profile, values in wanted.items():
        held = dict.fromkeys(audiences, False) | stored[profile]
        assert set(held) == set(values), f"{profile}: {set(held) ^ set(values)}"
        for key, value in values.items():
            assert same(held[key], value), f"{profile} {key}: expected {value}, stored {held[key]}"


def finals_of(timeline: Timeline) -> dict[str, Mapping[str, Any]]:
    """Our profile's id → the oracle's final answers."""
    return {profile_of(subject, timeline): values for subject, values in timeline.finals.items()}


def check_store(
    profiles: Iterable[tuple[bytes, bytes]],
    timers: Set[bytes],
    changelog: Iterable[tuple[bytes | None, bytes | None]],
) -> None:
    """A store is the fold of its changelog; a timer is in the index exactly when its profile is armed for it."""
    folded: dict[bytes, bytes] = {}
    for key, value in changelog:
        if key is not None and key.startswith(PROFILE) and value is None:
            folded.pop(key, None)  # the mark of somebody erased, whose time was over
        elif key is not None and key.startswith(PROFILE) and value is not None:
            held = folded.get(key)
            if held is None or codec.w_of(value) >= codec.w_of(held):
                folded[key] = value
    stored = {PROFILE + profile: data for profile, data in profiles}
    differing = [key for key in folded.keys() | stored.keys() if folded.get(key) != stored.get(key)]
    assert not differing, f"store and changelog differ in {len(differing)} profiles: {differing[0]!r}, …"
    armed = {timer_key(due, key[len(PROFILE) :]) for key, data in stored.items() if (due := codec.armed_due_of(data))}
    assert armed == timers, f"index and profiles differ: {armed ^ timers}"


def waiting(changelog: Iterable[tuple[bytes | None, bytes | None]]) -> dict[bytes, bytes]:
    """What waits for accounts, and what their users bring along with it, by a changelog."""
    folded: dict[bytes, bytes] = {}
    for key, value in changelog:
        if key is not None and key.startswith((WAITING, BROUGHT)):
            if value is None:
                folded.pop(key, None)
            else:
                folded[key] = value
    return folded


def are_same(observed: list[tuple[int, Any]], wanted: list[tuple[int, Any]]) -> bool:
    """Whether two sequences have the same values at the same instants."""
    return len(observed) == len(wanted) and all(
        at_ms == wanted_at and same(value, wanted_value)
        for (at_ms, value), (wanted_at, wanted_value) in zip(observed, wanted, strict=True)
    )
