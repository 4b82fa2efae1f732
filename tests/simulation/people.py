"""Scenarios of people who are anonymous, log in, share devices and turn out to be one: where their messages come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson

from tests.oracle.profiles import Identifier, IdentityRules, Record, identifiers_of
from tests.scenarios import Scenario, scenario
from tests.simulation.world import Arrival

Received = list[tuple[int, dict[str, Any]]]
"""(received at, message), in order."""


@dataclass(frozen=True)
class People:
    """A scenario, dealt to the partitions of `events.raw`."""

    made: Scenario
    messages: Received
    arrivals: list[Arrival]
    spread: bool
    """Whether one person's messages come in anywhere; else all that could ever become one person's are together."""


def people(seed: int, partitions: int) -> People:
    """The people of a seed: of three one shares devices, of three one is spread."""
    random = Random(seed)
    spread = seed % 3 == 2
    switches: dict[str, Any] = {"where_traits": False} if spread else {}
    made = scenario(
        seed, events=random.choice((30, 60)), profiles=random.choice((4, 8)), definitions=10, anonymous=True,
        other_identifiers=True, blocked_values=True, alias=True, merges=True, conflicts=seed % 3 == 1 or seed % 6 == 5,
        **switches,
    )  # fmt: skip
    messages = made.messages
    if spread:
        messages = _timestamped(messages)
        places = [random.randrange(partitions) for _ in messages]
    else:
        places = _together(messages, partitions)
    arrivals = [
        Arrival(at_ms, place, orjson.dumps(message)) for (at_ms, message), place in zip(messages, places, strict=True)
    ]
    return People(made, messages, arrivals, spread)


def _together(messages: Received, partitions: int) -> list[int]:
    """A partition for each message, the same for all that have to do with one another."""
    above: dict[Identifier, Identifier] = {}

    def top(identifier: Identifier) -> Identifier:
        while above.get(identifier, identifier) != identifier:
            identifier = above[identifier]
        return identifier

    tied = [_identifiers(message) for _, message in messages]
    for several in tied:
        for each in several:
            above[top(each)] = top(several[0])
    return [sum(str(top(several[0])).encode()) % partitions if several else 0 for several in tied]


def _identifiers(message: Mapping[str, Any]) -> list[Identifier]:
    """Everything that a message may be about."""
    rules = IdentityRules()
    found = identifiers_of(message, {}) + identifiers_of(
        message, {Identifier("user_id", str(message.get("previousId"))): ""}
    )
    return [each for each in dict.fromkeys(found) if not rules.is_blocked(each)]


def _timestamped(messages: Received) -> Received:
    """Each message at an instant of its own, which it says itself.

    Of two at one instant the later to arrive counts, and partitions have no order among them; of a message without a
    timestamp, that came twice, it would matter which came first.
    """
    used: set[int] = set()
    said: dict[str, str] = {}
    stamped: Received = []
    for at_ms, message in messages:
        text = said.get(message["messageId"])
        if text is None:
            time_ms = Record(at_ms, message).time_ms
            while time_ms in used:
                time_ms -= 1
            used.add(time_ms)
            text = (
                datetime.fromtimestamp(time_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ms % 1_000:03}Z"
            )
            said[message["messageId"]] = text
        stamped.append((at_ms, {**message, "timestamp": text}))
    return stamped
