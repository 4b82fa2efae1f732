"""Profiles that become one, against the oracle over the union of their events: definitions as they compile, whole or
in parts, stored and read again, events before and after, timers as they fire.

HEADWATER_SCENARIOS=3000 pytest tests/properties -k merges
One seed again: HEADWATER_SEED=1234 HEADWATER_SCENARIOS=1 pytest tests/properties -k merges
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from app.compute.apply import Application
from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_plan
from app.definitions.model import Definition
from app.profiles import codec, parts
from app.profiles.funnels import Funnel
from app.profiles.merge import merge
from app.profiles.state import Profile
from tests.compute.test_funnels import QUERIES as FUNNELS
from tests.oracle.evaluate import evaluate
from tests.oracle.instants import Instants
from tests.oracle.language import define, references
from tests.oracle.profiles import Directory, IdentityRules, Record, TraitView, current
from tests.oracle.timeline import stays_absent
from tests.oracle.values import same
from tests.scenarios import scenario

SCENARIOS = int(os.environ.get("HEADWATER_SCENARIOS", "90"))
FIRST_SEED = int(os.environ.get("HEADWATER_SEED", "400000"))
START_MS = 1_767_225_600_000
INSTANTS = 8
"""Looked at in what is left of time, of each profile at the end of a case."""

BOUGHT = "event('B').where(property('p') = property(parent: 'p')).within(parent: 8 seconds)"
WINDOWS = (
    "event('A').count()",
    "event('A').where(property('p') > 1 AND trait('plan') = 'gold').count()",
    "event('A').within(9 seconds).count()",
    "event('A').within(12 seconds).sum(property('p'))",
    "event('A').between(2 seconds, 14 seconds).unique(property('p'))",
    "event('A').within(20 seconds).mode(property('p'), 2)",
    "event('A').within(11 seconds).max(property('p'))",
    "event('A').between(3 seconds, 10 seconds).first(property('n'))",
    "event('A').where(property('d').within_next(5 seconds)).last(property('n'))",
    "event('A').where(property('d').before_last(4 seconds)).avg(property('p'))",
    "event('A').first(property('n'))",
    "event('B').last(property('n'))",
    "event('A').unique(property('p')).count()",
    "event('A').expires_after(4 seconds).sum(property('p'))",
    "event('B').expires_after(6 seconds).last(property('n'))",
    "event('A').within(15 seconds).expires_after(5 seconds).count()",
    "event('A').where(property('d').within_last(9 seconds)).expires_after(6 seconds).unique(property('p'))",
    f"event('A').where({BOUGHT}.count() >= 2).within(30 seconds).unique(property('p'))",
    f"event('A').where({BOUGHT}.count() = 0).expires_after(9 seconds).last(property('n'))",
    f"event('A').where(event('B').where({BOUGHT}.count() = 0).within(parent: 9 seconds).count() = 1).count()",
)
AUDIENCES = (
    "event('A').within(12 seconds).count() >= 3",
    "event('A').within(7 seconds).count() = 2 OR trait('plan') = 'gold'",
    "event('A').within(15 seconds).count() <= 1",
    "trait('until').within_next(6 seconds) AND event('B').within(20 seconds).count() < 4",
    "event('A').last(property('d')).within_last(5 seconds)",
    f"event('A').where({BOUGHT}.count() >= 1).within(25 seconds).count() > 1",
)


@dataclass
class Person:
    """A profile, and what the oracle calls it."""

    user: str
    profile: Profile = field(default_factory=Profile)


class Family:
    """Several profiles of the same definitions, here and in the oracle."""

    def __init__(self, definitions: Sequence[Definition], random: Random, users: int) -> None:
        ready, errors = compile_ready(definitions)
        assert not errors, errors
        self.plan = compile_plan(ready)
        self.kinds = {cell_id: cell.kind for cell_id, cell in self.plan.cells.items()}
        self.wanted = {each.key: define(each.key, each.kind, each.scope, each.query) for each in definitions}
        self.random = random
        self.directory = Directory(IdentityRules(limits={}))
        self.people = [Person(f"u{number}") for number in range(users)]
        for person in self.people:
            person.profile.identifiers = [("user_id", person.user)]
            self._subject_id(person)
        self.records: list[Record] = []
        self.now_ms = 0
        self.seen = Counter[str]()

    def _subject_id(self, person: Person) -> str:
        found = self.directory.resolve({"type": "track", "userId": person.user})
        assert found is not None
        return found.profile

    def application(self, profile: Profile) -> Application:
        # One number for all partitions: of two arrivals in a millisecond the oracle goes by the order of its records.
        return Application(self.plan, profile, "prf", "e", ("in", 0, len(self.records)))

    def receive(self, person: Person, record: Record) -> None:
        """Time goes on, for this profile alone, and a message is applied."""
        self.records.append(record)
        self.now_ms = record.received_at_ms
        application = self.application(person.profile)
        application.pass_time(self.now_ms)
        message = dict(record.message)
        found = [("user_id", person.user)]
        application.message(message, record.time_ms, found, received_ms=self.now_ms, repeat=False)
        traits = TraitView({}, current(self.directory.profiles[self._subject_id(person)].traits))
        self.directory.apply(record, self._subject_id(person), len(self.records), traits, {})
        if self.random.random() < 0.2:
            self.check(person, person.profile, self.now_ms)

    def merge(self, winner: Person, loser: Person) -> None:
        for person in (winner, loser):
            if self.random.random() < 0.5:
                self.application(person.profile).pass_time(self.now_ms)
            self.store(person)
        self.seen.update(
            type(self.kinds[cell_id]).__name__ for cell_id in winner.profile.cells.keys() & loser.profile.cells
        )
        merge(winner.profile, loser.profile, self.kinds, self.now_ms)
        self.people.remove(loser)
        self.directory.resolve({"type": "alias", "userId": winner.user, "previousId": loser.user})
        winner.profile.plan = 0  # so that all is evaluated
        self.application(winner.profile).refresh()
        self.check(winner, winner.profile, self.now_ms)

    def store(self, person: Person) -> None:
        """Now and then through bytes, with every list in parts or none."""
        way = self.random.random()
        if way < 0.3:
            person.profile = codec.decode(codec.encode(person.profile, 1))
        elif way < 0.6:
            data, held = codec.encode_in_parts(person.profile, 1)
            person.profile = codec.decode(data, lambda names: [held[name] for name in names])

    def check(self, person: Person, profile: Profile, now_ms: int) -> None:
        """That the answers are those of the oracle, and that they have been told."""
        scene = self.application(profile).scene
        subject = self.directory.user(self._subject_id(person), {})
        for definition in self.plan.definitions:
            wanted = self.wanted[definition.key]
            expected = evaluate(wanted.body, subject, now_ms)
            said = f"{wanted.body} of {person.user} at {now_ms - START_MS}"
            found = definition.value(scene)
            assert same(found, expected), f"{said}: {expected!r} expected, found {found!r}"
            if definition.key in profile.emitted:
                told = profile.emitted[definition.key]
                assert same(told, expected), f"{said}: {expected!r} expected, told {told!r}"
            elif definition.kind == "trait":
                assert stays_absent(wanted, expected), f"{said}: {expected!r} was never told"
            else:
                assert expected is False, f"{said}: entered, and never told"

    def run_on(self, instants: int) -> None:
        """Check what is left of time, of every profile that anything has happened to."""
        turns = Instants(self.wanted.values())
        later = {at_ms for record in self.records for at_ms in turns.of(record) if at_ms > self.now_ms}
        later |= {at_ms - 1 for at_ms in later if at_ms - 1 > self.now_ms}
        chosen = sorted(self.random.sample(sorted(later), min(instants, len(later))))
        for person in self.people:
            if not person.profile.plan:
                continue
            profile = codec.decode(codec.encode(person.profile, 1))
            for at_ms in chosen:
                self.application(profile).pass_time(at_ms)
                self.check(person, profile, at_ms)


def play(family: Family, records: Iterable[Record]) -> None:
    """Deal records to the profiles, and merge them in any order at any time."""
    random = family.random
    merges = 1.5 * (len(family.people) - 1)
    waiting = list(records)
    for number, record in enumerate(waiting):
        person = random.choice(family.people)
        family.store(person)
        family.receive(person, record)
        if len(family.people) > 1 and random.random() < merges / len(waiting) and number > 2:
            family.merge(*random.sample(family.people, 2))
    family.run_on(INSTANTS // 2)
    while len(family.people) > 1:
        family.merge(*random.sample(family.people, 2))
    family.run_on(INSTANTS if random.random() < 0.9 else 10 * INSTANTS)


# ── which definitions, which events ───────────────────────────────────────────────────────────────────────────────


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat().replace("+00:00", "Z")


def by_hand(seed: int) -> Counter[str]:
    """Definitions of every kind of cell; events of which many are late or of the same instant."""
    random = Random(seed)
    chosen = [("trait", query) for query in random.sample(WINDOWS, 4) + random.sample(FUNNELS, 3)]
    chosen += [("audience", query) for query in random.sample(AUDIENCES, 2)]
    definitions = [Definition(f"d{number}", kind, query) for number, (kind, query) in enumerate(chosen)]  # type: ignore[arg-type]
    family = Family(definitions, random, random.choice((2, 2, 3)))
    records: list[Record] = []
    at_ms = START_MS
    for number in range(random.randint(4, 22)):
        at_ms += 1_000 * random.choice((0, 0, 1, 1, 2, 5))
        timestamp = iso(at_ms - 1_000 * random.choice((0, 0, 0, 1, 2, 4, 12)))
        message: dict[str, Any] = {"timestamp": timestamp, "messageId": f"m{number}"}
        if random.random() < 0.2:
            traits = {"plan": random.choice(("gold", "free")), "until": iso(at_ms + 1_000 * random.randint(-5, 9))}
            message |= {"type": "identify", "traits": dict(random.sample(sorted(traits.items()), random.randint(1, 2)))}
        else:
            due = iso(at_ms + 1_000 * random.randint(-6, 6))
            properties = {"p": random.choice((None, 1, 2, 2, 3)), "d": due, "n": f"n{number}"}
            message |= {"type": "track", "event": random.choice("AAABBC"), "properties": properties}
        records.append(Record(at_ms, message))
    play(family, records)
    return family.seen


def by_chance(seed: int) -> Counter[str]:
    """Definitions and events as the oracle makes them up, of those that refer to no other."""
    random = Random(seed)
    made = scenario(seed, events=22, profiles=3, definitions=10, duplicates=False, scale="seconds")
    alone = self_contained(made.definitions)
    if not alone:
        return Counter()
    family = Family(alone, random, random.choice((2, 3)))
    records = [Record(at_ms, {**message, "messageId": f"m{n}"}) for n, (at_ms, message) in enumerate(made.messages)]
    play(family, records)
    return family.seen


def self_contained(definitions: Sequence[Definition]) -> list[Definition]:
    """Those that read no other."""
    keys = {each.key for each in definitions}
    return [
        each
        for each in definitions
        if not keys & {found.key for found in references(define(each.key, each.kind, each.scope, each.query).body)}
    ]


def run(cases: Callable[[int], Counter[str]], block: int, what: str = "merged") -> Counter[str]:
    """A third of the scenarios.

    Returns:
        How often cells of a kind were merged, or whatever is done to them.
    """
    seen = Counter[str]()
    for seed in range(FIRST_SEED + block, FIRST_SEED + SCENARIOS, 3):
        try:
            seen += cases(seed)
        except Exception as error:
            error.add_note(f"replay with: HEADWATER_SEED={seed} HEADWATER_SCENARIOS=1 pytest -k {cases.__name__}")
            raise
    print(f"\nfrom seed {FIRST_SEED + block}: {what} {dict(seen.most_common())}")
    return seen


@pytest.fixture(autouse=True)
def _short_lists_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ENTRIES_INLINE_MAX", 2)


@pytest.mark.parametrize("block", range(3))
def test_merges_by_hand(block: int) -> None:
    seen = run(by_hand, block)
    every = {"Count", "Total", "WindowCount", "Spanned", "Peaks", "Runs", "SessionFacts", Funnel.__name__}
    assert SCENARIOS < 90 or set(seen) == every, f"never merged: {every - set(seen)}"


@pytest.mark.parametrize("block", range(3))
def test_merges_by_chance(block: int) -> None:
    assert run(by_chance, block) or SCENARIOS < 90
