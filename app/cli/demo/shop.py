"""The demo shop's event stream, planned from a seed: who sends what, when.

Two things make the truth of windowed definitions exact although the engine's clock is the broker's. First, what one
person does in a visit happens within a few seconds, so `DELAY_MS_MAX` before the first of it leaves a window the last
has long been sent: a record may arrive that late and still counts together with the others. Second, a person then
stays away until every window has run out and `MARGIN_MS` has passed, so what a later record does is not mixed up with
what time did. Delays of up to `DELAY_MS_MAX` therefore cannot change a sequence of changes. (A test delays records by
as much and finds the same sequences; the summary counts the records that were sent later than that.)

Some sign up in the middle of a visit. Of the customers who come back some do so on another device, where nobody knows
them until they sign in, in that same visit: what was two profiles becomes one, while nothing of either runs out.

Records carry their device as key, so that those of one visit keep their order. About one message in thirty is sent
up to 1.2 s late, one in fifty twice; some records are no events at all.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random

import orjson

from app.cli.demo.broken import broken_value
from app.cli.demo.sample import WINDOW_MS_MAX
from app.cli.demo.visits import VISIT_MS_MAX, Act, Visitor, glance, visit

DELAY_MS_MAX = 5_000
"""From a record's planned sending to its arrival in the log; from there on nothing depends on speed."""
MARGIN_MS = 1_500
LATE_MS_MAX = 1_200
SECONDS_MIN = 15.0
"""A shorter demo has no room for visits and for their windows to run out."""
_VISITS_SHARE = 0.85
_BROKEN_EVERY = 250


@dataclass(frozen=True, slots=True)
class Sent:
    """A valid message, sent once. Times are ms since the demo's start."""

    at_ms: int
    happened_ms: int
    who: str
    """The device that sent it: `anonymous_id:…`, with a userId or without. Also the record's key."""
    message: Mapping[str, object]
    """Without its timestamp."""

    def stamped(self, start_ms: int) -> dict[str, object]:
        """The message as sent by a demo that started at `start_ms`."""
        at = datetime.fromtimestamp((start_ms + self.happened_ms) / 1_000, UTC)
        return {**self.message, "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that is no event."""

    at_ms: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that will be sent, in order."""

    sent: tuple[Sent, ...]
    """Repeats included: the same message again, later."""
    broken: tuple[Broken, ...]

    def records(self, start_ms: int) -> list[tuple[int, bytes, bytes | None]]:
        """(at_ms since the start, key, value) of every record, in order of sending."""
        good = [(each.at_ms, each.who.encode(), orjson.dumps(each.stamped(start_ms))) for each in self.sent]
        bad = [(each.at_ms, b"broken", each.value) for each in self.broken]
        return sorted([*good, *bad], key=lambda record: record[0])


def plan(*, seed: int, rate: float, seconds: float) -> Plan:
    """The stream of a seed: about `rate` records per second for `seconds`; the same arguments, the same plan."""
    random = Random(seed)
    length_ms = int(seconds * 1_000)
    acts = _visits(random, rate=rate, length_ms=length_ms)
    acts += _glances(acts, random, rate=rate, length_ms=length_ms)
    sent = sorted((_posted(act, number, random) for number, act in enumerate(acts)), key=lambda each: each.at_ms)
    sent += _repeats(sent, random)
    broken_count = max(1, int(rate * seconds / _BROKEN_EVERY))
    return Plan(
        sent=tuple(sorted(sent, key=lambda each: each.at_ms)),
        broken=tuple(Broken(random.randrange(length_ms), broken_value(number)) for number in range(broken_count)),
    )


def _visits(random: Random, *, rate: float, length_ms: int) -> list[Act]:
    """Visits until they make up their share of the rate; about every other one by somebody who was here before."""
    room_ms = length_ms - VISIT_MS_MAX - LATE_MS_MAX
    visits_count = max(1, int(rate * _VISITS_SHARE * room_ms / 1_000 / _ACTS_PER_VISIT))
    acts: list[Act] = []
    away: list[tuple[int, int]] = []
    visitors: list[Visitor] = []
    for start_ms in sorted(random.randrange(max(1, room_ms)) for _ in range(visits_count)):
        if away and away[0][0] <= start_ms and random.random() < 0.6:
            visitor = visitors[away.pop(0)[1]]
            if visitor.is_customer and visitor.device == 1 and random.random() < 0.5:
                visitor.take_another_device()
        else:
            is_customer = random.random() < 0.35
            visitor = Visitor(len(visitors), is_customer, is_signed_in=is_customer)
            visitors.append(visitor)
        done = list(visit(visitor, start_ms, random))
        acts += done
        free_at_ms = done[-1].happened_ms + LATE_MS_MAX + WINDOW_MS_MAX + MARGIN_MS
        insort(away, (free_at_ms, visitor.number))
    return acts


_ACTS_PER_VISIT = 7.3
"""Measured; it only decides how near the stream's rate comes to the one asked for."""


def _glances(acts: list[Act], random: Random, *, rate: float, length_ms: int) -> list[Act]:
    """Page views by people who look once, to fill each second up to the rate."""
    found: list[Act] = []
    seconds_count = max(1, length_ms // 1_000)
    busy = [0] * seconds_count
    for act in acts:
        busy[min(seconds_count - 1, act.happened_ms // 1_000)] += 1
    for second, count in enumerate(busy):
        for _ in range(max(0, round(rate) - count)):
            number = 50_000 + len(found)
            found.append(glance(number, second * 1_000 + random.randrange(1_000), random))
    return found


def _posted(act: Act, number: int, random: Random) -> Sent:
    delay_ms = random.randint(300, LATE_MS_MAX) if random.random() < 0.03 else random.randint(5, 60)
    return Sent(
        at_ms=act.happened_ms + delay_ms,
        happened_ms=act.happened_ms,
        who=f"anonymous_id:{act.body['anonymousId']}",
        message={"messageId": f"demo-{number:07}", "sourceId": "web", **act.body},
    )


def _repeats(sent: list[Sent], random: Random) -> list[Sent]:
    """What clients send again because they saw no answer: the same message with the same messageId."""
    return [replace(each, at_ms=each.at_ms + random.randint(200, 3_000)) for each in sent if random.random() < 0.02]
