"""What an engine said of every customer, and what it should have said.

All engines are held against one fold of the same events: the hand-written one of the Quix peer, run here. That fold is
itself held against the oracle, which evaluates the definitions' text, for a sample of customers.

A customer's answer is taken as of their last event. What time alone changes after that is left out, since the peers
have no timers; what it changed before shows at the next event.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson

from app.events.dates import instant
from benchmarks.peers import shop_profile
from benchmarks.shop.definitions import DEFINITIONS
from benchmarks.shop.events import Event, Json
from tests.oracle.language import define
from tests.oracle.profiles import Record
from tests.oracle.timeline import simulate

SAMPLED_EVENTS_MAX = 30
"""The oracle looks at every event at every instant: of a customer of twice the events it takes eight times as long."""
Answers: TypeAlias = dict[tuple[str, str], Json]
"""(user, definition) → value; what is as if nothing had ever been said (false, null) is left out."""
Sample: TypeAlias = Mapping[str, Sequence[Event]]
"""User → all of their events, in order."""


@dataclass(slots=True)
class Truth:
    """Learns of the events as they are produced.

    Args:
        sample: How many customers the oracle is asked about.
        sampled_events_max: The events of the busiest of them.
    """

    sample: int
    sampled_events_max: int = SAMPLED_EVENTS_MAX
    events: int = 0
    last_at_ms: dict[str, int] = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)
    changes: int = 0
    _states: dict[str, shop_profile.State] = field(default_factory=dict)
    _kept: dict[str, list[Event]] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        self.events += 1
        self.last_at_ms[event.user] = event.at_ms
        state = self._states.get(event.user)
        if state is None:
            state = self._states[event.user] = shop_profile.new_state()
        for key, value in shop_profile.step(state, orjson.loads(event.value), event.at_ms):
            self.changes += 1
            note(self.answers, event.user, key, value)
        kept = self._kept.setdefault(event.user, [])
        if len(kept) <= self.sampled_events_max:  # one more tells that there were too many
            kept.append(event)

    def take_sample(self) -> Sample:
        """Those customers with their events; what was kept of all the others goes."""
        kept, self._kept = self._kept, {}
        able = [user for user, events in kept.items() if len(events) <= self.sampled_events_max]
        busiest = heapq.nlargest(self.sample, able, key=lambda user: (len(kept[user]), user))
        return {user: kept[user] for user in busiest}


def note(answers: Answers, user: str, key: str, value: Json) -> None:
    """This is so from here on."""
    if value is None or value is False:
        answers.pop((user, key), None)
    else:
        answers[user, key] = value


async def fold(values: AsyncIterator[bytes], last_at_ms: Mapping[str, int]) -> tuple[Answers, int]:
    """The last values of an output topic, and how many records it had.

    A record is a peer's {user, key, value} or the data of one of Headwater's CloudEvents, whose `at` may be too late.
    """
    answers: Answers = {}
    records = 0
    async for value in values:
        records += 1
        change = orjson.loads(value)
        user = change.get("user")
        if user is None:
            user = next(each["value"] for each in change["identifiers"] if each["type"] == "user_id")
            at_ms = instant(change["at"])
            assert at_ms is not None, change
            if at_ms > last_at_ms.get(user, 0):
                continue
        note(answers, user, change["key"], change["value"])
    return answers, records


def faults(found: Answers, truth: Answers, examples: int = 3) -> str:
    """What differs, in words; empty where nothing does."""
    wrong = sorted(place for place in found.keys() | truth.keys() if not same(found.get(place), truth.get(place)))
    if not wrong:
        return ""
    shown = "; ".join(
        f"{user} {key}: {found.get((user, key))!r}, not {truth.get((user, key))!r}" for user, key in wrong[:examples]
    )
    return f"{len(wrong):,} of {len(truth):,} answers differ ({shown})"


def same(a: Json, b: Json) -> bool:
    """1 and 1.0 are, 1 and true are not."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def oracle_answers(sample: Sample) -> Answers:
    """What the oracle says of some customers, each as of their last event."""
    definitions = [define(each.key, each.kind, each.scope, each.query) for each in DEFINITIONS]
    answers: Answers = {}
    for user, events in sample.items():
        records = [Record(event.at_ms, orjson.loads(event.value)) for event in events]
        timeline = simulate(definitions, records, events[-1].at_ms)
        (final,) = timeline.finals.values()
        for key, value in final.items():
            note(answers, user, key, value)
    return answers


def oracle_faults(truth: Answers, sample: Sample) -> str:
    """Where the hand-written fold and the oracle differ, in words."""
    ours = {place: value for place, value in truth.items() if place[0] in sample}
    return faults(ours, oracle_answers(sample))
