"""Which events a chain's windows can let in at all."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from app.definitions.ast import Between, Chain, ExpiresAfter, Filter, Within


@dataclass(frozen=True, slots=True)
class Reach:
    """The ages that an event can have when it counts: `near_ms <= age < far_ms`."""

    near_ms: float = 0
    far_ms: float = inf


EVERYTHING = Reach()
_TOO_NARROW = "make one of them wider, or leave one out"


@dataclass(frozen=True, slots=True)
class Empty:
    """A filter with which nothing can count any more."""

    filter: Filter
    reason: str
    hint: str


def reach(chain: Chain, parent: Reach) -> Reach | Empty:
    """The ages of a chain's events; EVERYTHING is the parent of a chain that is no funnel's child."""
    near_ms, far_ms = 0.0, parent.far_ms  # a child is younger than its parent
    for each in chain.filters:
        match each:
            case Within(0) | ExpiresAfter(0):
                return Empty(each, "a window of 0 seconds is empty", "write a longer duration")
            case Within(duration_ms, of_parent=True):
                near_ms = max(near_ms, parent.near_ms - duration_ms)
            case Within(duration_ms):
                far_ms = min(far_ms, duration_ms)
            case Between(least_ms, most_ms):
                near_ms, far_ms = max(near_ms, least_ms), min(far_ms, most_ms)
        if near_ms >= far_ms:
            around = " with those of the event around it" if parent.far_ms < inf or parent.near_ms else ""
            return Empty(each, f"its windows have no moment in common{around}", _TOO_NARROW)
    for each in chain.filters:
        # Only the newest event of a session has to be so young, and it passes all the other filters too.
        if isinstance(each, ExpiresAfter) and each.duration_ms <= near_ms:
            return Empty(each, "its windows have no moment in common", _TOO_NARROW)
    return Reach(near_ms, far_ms)
