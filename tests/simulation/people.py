"""Scenarios of people who are anonymous, log in, share devices and turn out to be one: where their messages come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal

import orjson

from app.definitions.model import Definition
from app.profiles.seen import DAY_MS
from tests.oracle.profiles import Identifier, IdentityRules, Record, identifiers_of
from tests.oracle.scenario_words import TRACK_EVENTS
from tests.scenarios import Scenario, scenario
from tests.simulation.world import Arrival

Kind = Literal["together", "spread", "tangled"]
"""Whether everything that could ever become one person's comes in at one partition, or at any."""

Received = list[tuple[int, dict[str, Any]]]
"""(received at, message), in order."""

COUNTS = tuple(
    Definition(f"times_{number}", "trait", f'event("{name}").count()') for number, name in enumerate(TRACK_EVENTS)
)
"""Beside the definitions of the oracle's making: whoever counts an event twice, or not at all, shows here."""


@dataclass(frozen=True)
class People:
    """A scenario, dealt to the partitions of `events.raw`."""

    made: Scenario
    arrivals: list[Arrival]
    kind: Kind


def people(
    seed: int, partitions: int, kind: Kind, *, twins: bool = False, in_order: bool = True, **more: Any
) -> People:
    """The people of a seed: as the oracle makes them up, at one place or spread; or such as turn out to be one another
    all the time, spread.

    Args:
        twins: Whether messages of different people sometimes have one id; all within the time that ids are kept for.
        in_order: Whether no message is overtaken on its way, so that of two with one id it is the same one that comes
            first everywhere: then they may say different things.
        more: Of the oracle's options, what is to be otherwise.
    """
    random = Random(seed)
    switches: dict[str, Any] = {"where_traits": False} if kind != "together" else {}
    if kind == "tangled" or twins:
        switches["scale"] = "seconds"  # so that all of it may be late, and come again
    switches |= {
        "events": random.choice((30, 60)), "profiles": random.choice((4, 8)), "definitions": 10, "anonymous": True,
        "other_identifiers": True, "blocked_values": True, "alias": True, "merges": True,
        "conflicts": random.random() < 0.5,
    }  # fmt: skip
    made = scenario(seed, **{**switches, **more})
    made = replace(made, definitions=(*made.definitions, *COUNTS))
    messages = made.messages
    if kind == "tangled":
        messages = _tangled(messages, random)
    if twins:
        messages = _twinned(messages, Random(f"twins {seed}"), are_alike=kind != "together" or not in_order)
    if kind == "together":
        places = _together(messages, partitions)
    else:
        messages = _timestamped(messages)
        places = [random.randrange(partitions) for _ in messages]
    arrivals = [
        Arrival(at_ms, place, orjson.dumps(message)) for (at_ms, message), place in zip(messages, places, strict=True)
    ]
    return People(made, arrivals, kind)


def _tangled(messages: Received, random: Random) -> Received:
    """The same messages, but of devices, addresses and customer numbers that come alone, or turn out to be together."""
    numbers = range(random.choice((8, 15, 24)))  # of 24 more than a profile may have
    together = random.choice((0.1, 0.2, 0.4))
    whose: dict[str, dict[str, Any]] = {}
    tangled: Received = []
    for at_ms, message in messages:
        if message["type"] == "alias":
            continue
        ids = whose.get(message["messageId"])
        if ids is None:
            ids = {"context": {}}
            for number in random.sample(numbers, 2 if random.random() < together else 1):
                if number % 3 == 0 or "anonymousId" in ids:
                    crm = {"type": "crm", "id": f"c{number}", "collection": "users", "encoding": "none"}
                    ids["context"]["externalIds"] = [crm]
                elif number % 3 == 1:
                    ids["anonymousId"] = f"device-{number}"
                else:
                    ids["context"]["traits"] = {"email": f"{number}@example.org"}
            whose[message["messageId"]] = ids
        rest = {key: value for key, value in message.items() if key not in ("userId", "anonymousId")}
        context = message.get("context") or {}
        context = {key: value for key, value in context.items() if key not in ("traits", "device", "externalIds")}
        traits = {key: value for key, value in (message.get("traits") or {}).items() if key != "email"}
        if message["type"] == "identify":
            traits |= ids["context"].get("traits", {})
        ids = {**ids, "traits": traits, "context": {**context, **ids["context"]}}
        tangled.append((at_ms, {**rest, **ids}))
    return tangled


def _twinned(messages: Received, random: Random, *, are_alike: bool) -> Received:
    """The same messages, but some are what another person has sent before, once more under the same id: a client kept
    it, and has learnt who it is.

    Args:
        are_alike: Whether only the identifiers may differ; else sometimes the id is all that is the same.
    """
    found: Received = []
    for at_ms, message in messages:
        before = [
            said for was_ms, said in found
            if was_ms > at_ms - DAY_MS // 2 and _is_plain(said) and _who(said) != _who(message)
        ]  # fmt: skip
        if before and _is_plain(message) and random.random() < 0.4:
            twin = random.choice(before)
            if are_alike or random.random() < 0.5:
                rest = {key: value for key, value in twin.items() if key not in ("userId", "anonymousId")}
                message = {**rest, **_who(message)}
            else:
                message = {**message, "messageId": twin["messageId"]}
        found.append((at_ms, message))
    return found


def _is_plain(message: Mapping[str, Any]) -> bool:
    """Whether it is an event, and only its two ids say whose."""
    context = message.get("context") or {}
    says_more = any(key in context for key in ("traits", "device", "externalIds"))
    return message["type"] in ("track", "page", "screen") and not says_more


def _who(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: message[key] for key in ("userId", "anonymousId") if key in message}


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
