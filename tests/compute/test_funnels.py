"""Funnels and windows against the oracle: any events in any order, time in between, profiles stored and read again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.compute.apply import Application
from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_plan
from app.definitions.model import Definition
from app.definitions.plan import Plan
from app.identity.identifiers import Identifiers
from app.identity.rules import IdentityRules
from app.profiles import codec
from app.profiles.funnels import Funnel, Look
from app.profiles.state import Profile
from tests.oracle.language import define
from tests.oracle.profiles import Record
from tests.oracle.timeline import simulate

many = settings(max_examples=int(os.environ.get("HEADWATER_EXAMPLES", "30")), deadline=None)

START_MS = 1_767_225_600_000
SECOND_MS = 1_000

BOUGHT = "event('B').within(parent: 5 seconds).count()"
SAME = "event('B').where(property('p') = property(parent: 'p')).count()"
ABOVE = "event('C').where(property('p') >= property(parent: 'p')).count()"
QUERIES = (
    f"event('A').where({BOUGHT} = 0).count()",
    f"event('A').where({BOUGHT} >= 1).count()",
    f"event('A').where({BOUGHT} >= 1).within(10 seconds).sum(property('p'))",
    f"event('A').where(NOT {SAME} > 1).last(property('p'))",
    f"event('A').where({SAME} < 2).where(property('p') >= 1).between(2 seconds, 9 seconds).unique(property('p'))",
    f"event('A').where({SAME} = 1 OR property('d').within_next(4 seconds)).count()",
    "event('A').where(event('B').within(6 seconds).count() >= 1).avg(property('p'))",
    "event('A').where(event('A').count() = 0).first(property('p'))",
    "event('A').where(event('B').max(property('p')) > property('p')).expires_after(4 seconds).count()",
    "event('A').where(event('B').expires_after(4 seconds).count() = 2).count()",
    "event('A').where(event('B').between(2 seconds, 5 seconds).last(property('p')) = property('p')).count()",
    "event('A').where(event('B').where(property('d').before_last(3 seconds)).count() = 1).min(property('p'))",
    "event('A').where(event('B').last(property('d')).within_last(5 seconds)).count()",
    "event('A').where(event('B').where(event('C').within(parent: 4 seconds).count() = 0).count() > 0).count()",
    f"event('A').where(event('B').where(property(parent: 'p') = 2 AND {ABOVE} > 0).count() > 0).mode(property('p'), 1)",
    f"event('A').where(event('B').where({ABOVE} >= 1).within(parent: 9 seconds).count() >= 1).mode(property('p'), 2)",
    "event('A').where(event('B').count() > event('C').within(8 seconds).count()).count()",
    "event('A').where(event('B').unique(property('p')).count() >= 2 AND event('C').count() < 2).count()",
)


@dataclass(frozen=True)
class Happening:
    after_s: int
    """Since the one before it."""
    late_s: int
    name: str
    number: int | None
    date_s: int
    """Its property `d`, from its arrival on."""
    reload: bool
    """Whether the profile is stored and read again before it."""


happenings = st.lists(
    st.builds(
        Happening,
        after_s=st.integers(0, 6),
        late_s=st.sampled_from([0, 0, 0, 1, 3, 12]),
        name=st.sampled_from("AABBC"),
        number=st.none() | st.integers(1, 3),
        date_s=st.integers(-6, 6),
        reload=st.booleans(),
    ),
    max_size=14,
)


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat().replace("+00:00", "Z")


def records_of(script: Sequence[Happening]) -> list[Record]:
    records: list[Record] = []
    at_ms = START_MS
    for number, each in enumerate(script):
        at_ms += each.after_s * SECOND_MS
        properties = {"p": each.number, "d": iso(at_ms + each.date_s * SECOND_MS)}
        message: dict[str, Any] = {"type": "track", "event": each.name, "userId": "u", "messageId": f"m{number}"}
        timestamp = iso(at_ms - each.late_s * SECOND_MS)
        records.append(Record(at_ms, message | {"properties": properties, "timestamp": timestamp}))
    return records


class Person:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.profile = Profile()
        self.offset = 0
        self.changes: list[tuple[int, Any]] = []

    def apply(self, until_ms: int, record: Record | None = None) -> None:
        application = Application(self.plan, self.profile, "prf", "e", ("in", 0, self.offset))
        application.pass_time(until_ms)
        if record is not None:
            message = dict(record.message)
            found = Identifiers(IdentityRules()).of(message)
            application.message(message, record.time_ms, found, received_ms=record.received_at_ms, repeat=False)
        self.offset += 1
        self.changes += [(change.at_ms, change.value) for change in application.changes]

    def reload(self) -> None:
        self.profile = codec.decode(codec.encode(self.profile, 1))


def plan_of(query: str) -> Plan:
    ready, errors = compile_ready([Definition("d", "trait", query)])
    assert not errors, errors
    return compile_plan(ready)


def played(plan: Plan, script: Sequence[Happening], until_ms: int, *, reload: bool = True) -> Person:
    person = Person(plan)
    for each, record in zip(script, records_of(script), strict=True):
        if reload and each.reload:
            person.reload()
        person.apply(record.received_at_ms, record)
    person.apply(until_ms)
    return person


@pytest.mark.parametrize("query", QUERIES)
@many
@given(script=happenings)
def test_changes_are_those_of_the_oracle(query: str, script: list[Happening]) -> None:
    records = records_of(script)
    until_ms = START_MS + 200 * SECOND_MS
    timeline = simulate([define("d", "trait", "USERS", query)], records, until_ms)
    wanted = [(each.at_ms, each.value) for by_key in timeline.changes.values() for each in by_key["d"]]
    plan = plan_of(query)
    person = played(plan, script, until_ms)
    assert person.changes == wanted
    untouched = played(plan, script, until_ms, reload=False)
    assert codec.encode(person.profile, 1) == codec.encode(untouched.profile, 1)


@pytest.mark.parametrize("query", [query for query in QUERIES if ".first(" not in query and ".last(" not in query])
@many
@given(script=happenings, data=st.data())
def test_order_of_arrival_does_not_matter(query: str, script: list[Happening], data: st.DataObject) -> None:
    records = records_of(script)
    now_ms = START_MS + 90 * SECOND_MS if not records else records[-1].received_at_ms
    plan = plan_of(query)
    finals = []
    for order in (records, data.draw(st.permutations(records))):
        person = Person(plan)
        for record in order:
            person.apply(now_ms, record)
        finals.append(_answers(person, now_ms))
    assert finals[0] == finals[1]


def _answers(person: Person, now_ms: int) -> list[Any]:
    """What it comes to, now and as time goes on; a trait that came to nothing again is what one that never was is."""
    found: list[Any] = []
    for at_ms in range(now_ms, now_ms + 15 * SECOND_MS, SECOND_MS):
        person.apply(at_ms)
        found.append(person.profile.emitted.get("d") or None)
    return found


# ── what is kept ──────────────────────────────────────────────────────────────────────────────────────────────────


def kept(query: str, names: str) -> Any:
    person = Person(plan_of(query))
    for number, name in enumerate(names):
        at_ms = START_MS + number * SECOND_MS
        message = {"type": "track", "event": name, "userId": "u", "properties": {"p": 1, "never": "asked for"}}
        person.apply(at_ms, Record(at_ms, message))
    (plan,) = person.plan.cells.values()
    assert isinstance(plan.kind, Funnel)
    return person.profile.cells.get(plan.id)


def test_parents_that_are_settled_are_only_counted() -> None:
    total, parents, children = kept("event('A').where(event('B').count() >= 1).count()", "AABAB")
    assert total == 3
    assert parents == []
    assert [fact[0] for fact in children] == [START_MS + 2_000, START_MS + 4_000]


def test_parents_that_can_never_count_are_not_kept() -> None:
    total, parents, _ = kept("event('A').where(event('B').count() = 0).count()", "AABA")
    assert total is None
    assert [parent[0] for parent in parents] == [START_MS + 3_000]


def test_of_children_that_are_only_counted_the_newest_are_kept() -> None:
    _, _, children = kept("event('A').where(event('B').count() = 0).count()", "ABBBBBBBBA")
    assert len(children) == 2


def test_what_fails_the_clauses_of_its_own_event_is_not_kept() -> None:
    assert kept("event('A').where(property('p') > 1 AND event('B').count() = 0).count()", "AAA") is None


def test_facts_that_no_parent_of_the_window_can_need_are_dropped() -> None:
    query = "event('A').where(event('B').where(property('p') = property(parent: 'p')).count() > 0).within(3 seconds)"
    _, parents, children = kept(f"{query}.count()", "BABBBBBABA")
    assert [parent[0] - START_MS for parent in parents] == [7_000, 9_000]
    assert min(child[0] for child in children) >= START_MS + 5_000


# ── what it costs ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "clause",
    [
        "property('p') = property(parent: 'p')",
        "property(parent: 'p') = property('p') AND property('never') != property(parent: 'p')",
    ],
)
def test_parents_are_merged_with_the_children_that_can_be_theirs(clause: str) -> None:
    plan = plan_of(f"event('A').where(event('B').where({clause}).count() >= 1).within(1 day).count()")
    ((cell_id, cell),) = plan.cells.items()
    assert isinstance(cell.kind, Funnel)
    pairs = 400
    halves = [Person(plan), Person(plan)]
    for number in range(2 * pairs):
        at_ms = START_MS + number * SECOND_MS
        # Each half has the parents of the other half's children.
        name, person = ("A", halves[number % 2]) if number < pairs else ("B", halves[(number + 1) % 2])
        properties = {"p": f"{number % pairs}", "never": "asked for"}
        person.apply(at_ms, Record(at_ms, {"type": "track", "event": name, "userId": "u", "properties": properties}))
    one, other = (half.profile.cells[cell_id] for half in halves)
    looked = 0
    child = cell.kind.steps[1]
    where = child.where
    assert where is not None

    def counting(look: Look) -> bool:
        nonlocal looked
        looked += 1
        return where(look)

    object.__setattr__(child, "where", counting)  # the parents' condition asks this very object
    merged = cell.kind.merge(one, other, START_MS + 2 * pairs * SECOND_MS)
    assert cell.kind.answer(merged, START_MS + 2 * pairs * SECOND_MS) == pairs
    assert pairs <= looked <= 2 * pairs, "not each parent with each child"
