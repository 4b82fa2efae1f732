"""Explanations: each clause's value, the events and traits behind it, and when it turns by itself."""

from __future__ import annotations

from typing import Any

import pytest

from app.compute import explain as module
from app.compute.explain import Clause, Explanation, Operand, explain
from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_plan
from app.definitions.model import Definition
from app.profiles import codec
from app.profiles.belonging import Belonging
from app.profiles.evidence import Evidence, Known
from app.profiles.members import Members
from app.profiles.state import Profile
from tests.compute.test_apply import HOUR_MS, START_MS, Person, audience, trait

DAY_MS = 24 * HOUR_MS


class Explained(Person):
    """A profile of which each definition can be explained."""

    def __init__(self, *definitions: Definition) -> None:
        self.ready, _ = compile_ready(definitions)
        super().__init__(*definitions)

    def explain(self, key: str, after_ms: int) -> Explanation:
        before = codec.encode(self.profile, 0)
        found = explain(self.ready, key, self.profile, START_MS + after_ms)
        assert codec.encode(self.profile, 0) == before, "the profile was changed"
        return found

    def clause(self, key: str, after_ms: int) -> Clause:
        body = self.explain(key, after_ms).body
        assert isinstance(body, Clause)
        return body

    def operand(self, query: str, after_ms: int) -> Operand:
        """Of a trait with this query, which is new to the profile's plan or not."""
        (definition,) = (each for each, _ in self.ready if each.query == query)
        body = self.explain(definition.key, after_ms).body
        assert isinstance(body, Operand)
        return body


def order(person: Person, after_ms: int, **properties: Any) -> None:
    person.message(after_ms, properties=properties)


REGULAR = audience(
    "regular", "event('Order').within(2 hours).count() >= 2 AND (trait('plan') = 'pro' OR NOT trait('lost') = true)"
)
LOST = audience("lost", "event('Order').within(1 hour).count() < 1")


def test_each_clause_has_its_value_and_what_is_behind_it() -> None:
    person = Explained(REGULAR, LOST)
    person.message(0, type="identify", traits={"plan": "free"})
    order(person, 60_000)
    order(person, 120_000)
    found = person.explain("regular", HOUR_MS)
    assert (found.value, found.emitted, found.at_ms) == (True, True, START_MS + HOUR_MS)
    body = found.body
    assert isinstance(body, Clause)
    assert (body.junction, body.holds) == ("and", True)
    count, either = body.clauses
    assert (count.text, count.holds) == ("event('Order').within(2 hours).count() >= 2", True)
    chain, two = count.operands
    assert (chain.source, chain.value, two.source, two.value) == ("events", 2, "literal", 2)
    assert chain.events is not None
    assert chain.events.known == (
        Known(START_MS + 120_000, START_MS + 120_000 + 2 * HOUR_MS),
        Known(START_MS + 60_000, START_MS + 60_000 + 2 * HOUR_MS),
    )
    plan, lost = either.clauses
    assert (either.junction, plan.holds, lost.junction, lost.holds) == ("or", False, "not", True)
    assert plan.operands[0] == Operand("trait('plan')", "custom trait", "free", written_ms=START_MS)
    assert lost.clauses[0].operands[0] == Operand("trait('lost')", "audience", False)


def test_a_clause_turns_when_its_own_answer_does_not_whenever_an_event_leaves() -> None:
    person = Explained(REGULAR, LOST)
    for minute in range(3):
        order(person, minute * 60_000)
    body = person.clause("regular", HOUR_MS)
    count, either = body.clauses
    assert count.flips_ms == START_MS + 60_000 + 2 * HOUR_MS, "the first of three may leave"
    assert either.flips_ms == START_MS + 120_000 + HOUR_MS, "through an audience that it refers to"
    assert either.clauses[0].flips_ms is None
    assert body.flips_ms == either.flips_ms


def test_time_has_passed_although_no_timer_has_fired() -> None:
    person = Explained(REGULAR, LOST)
    order(person, 0)
    order(person, 1)
    found = person.explain("regular", 3 * HOUR_MS)
    assert (found.value, found.emitted, found.changes_ms) == (False, True, None)


def test_an_instant_before_what_the_profile_has_reached_is_that_one() -> None:
    person = Explained(REGULAR, LOST)
    order(person, HOUR_MS)
    assert person.explain("regular", 0).at_ms == START_MS + HOUR_MS


def test_an_anonymous_profile_is_kept_out() -> None:
    person = Explained(audience("any", "event('Order').count() >= 1"))
    person.message(0, userId=None, anonymousId="a")
    found = person.explain("any", 1)
    assert (found.value, found.is_anonymous, found.is_kept_out) == (False, True, True)
    person.message(2)
    found = person.explain("any", 3)
    assert (found.value, found.is_anonymous, found.is_kept_out) == (True, False, False)


def test_dates_turn_by_themselves() -> None:
    person = Explained(audience("renews", "trait('renewal').within_next(1 day)"))
    person.message(0, type="identify", traits={"renewal": "2026-01-03"})
    clause = person.clause("renews", 0)
    assert (clause.holds, clause.flips_ms) == (False, START_MS + DAY_MS)
    clause = person.clause("renews", DAY_MS)
    assert (clause.holds, clause.flips_ms) == (True, START_MS + 2 * DAY_MS)


def test_a_definition_that_is_newer_than_the_profile_is_explained_as_it_is_now() -> None:
    person = Explained(audience("paying", "trait('plan') = 'pro'"))
    person.message(0, type="identify", traits={"plan": "free"})
    person.ready, _ = compile_ready([audience("paying", "trait('plan') = 'free'")])
    found = person.explain("paying", 1)
    assert (found.value, found.emitted) == (True, False)


T0, T1 = START_MS, START_MS + 60_000
CELLS = {
    "event('Order').count()": Evidence(2),
    "event('Order').sum(property('x'))": Evidence(2, are_values=True),
    "event('Order').last(property('x'))": Evidence(
        None, are_values=True, known=(Known(T1, 0, ("7",)),), oldest_ms=T1, newest_ms=T1
    ),
    "event('Order').unique(property('x'))": Evidence(2, are_values=True, texts=(("5", 1), ("7", 1))),
    "event('Order').max(property('x'))": Evidence(None, are_values=True, known=(Known(None, 0, (7,)),)),
    "event('Order').within(1 day).sum(property('x'))": Evidence(
        2,
        are_values=True,
        known=(Known(T1, T1 + DAY_MS, (7,)), Known(T0, T0 + DAY_MS, (5,))),
        oldest_ms=T0,
        newest_ms=T1,
    ),
    "event('Order').within(1 day).min(property('x'))": Evidence(
        None,
        are_values=True,
        known=(Known(T1, T1 + DAY_MS, (7,)), Known(T0, T0 + DAY_MS, (5,))),
        oldest_ms=T0,
        newest_ms=T1,
    ),
    "event('Order').between(1 hour, 1 day).count()": Evidence(0, waiting=2),
    "event('Order').expires_after(1 hour).count()": Evidence(
        2, oldest_ms=T0, newest_ms=T1, expires_ms=T1 + HOUR_MS
    ),
    "event('Order').within(1 day).expires_after(1 hour).sum(property('x'))": Evidence(
        2,
        are_values=True,
        known=(Known(T1, T1 + DAY_MS, (7,)), Known(T0, T0 + DAY_MS, (5,))),
        oldest_ms=T0,
        newest_ms=T1,
        expires_ms=T1 + HOUR_MS,
    ),
    "event('Order').where(event('Order').count() >= 1).within(1 day).sum(property('x'))": Evidence(
        1,
        are_values=True,
        known=(Known(T0, T0 + DAY_MS, (5,)),),
        oldest_ms=T0,
        newest_ms=T0,
        waiting=1,
    ),
    "event('Order').where(event('Order').count() >= 1).count()": Evidence(1, waiting=1),
    "event('Refund').within(1 day).count()": Evidence(0),
}  # fmt: skip


@pytest.mark.parametrize("query", CELLS)
def test_what_each_kind_of_cell_still_knows(query: str) -> None:
    person = Explained(trait("t", query))
    order(person, 0, x="5")
    order(person, 60_000, x="7")
    operand = person.operand(query, 61_000)
    assert operand.events == CELLS[query]


def test_of_many_events_the_newest_are_named() -> None:
    count = "event('Order').within(1 day).count()"
    person = Explained(trait("t", count), audience("one", f"{count} >= 1"))
    for second in range(30):
        order(person, second * 1_000)
    events = person.operand(count, HOUR_MS).events
    assert events is not None
    assert (events.events, events.at_least, len(events.known)) == (30, False, 10)
    assert (events.oldest_ms, events.newest_ms) == (START_MS, START_MS + 29_000)
    capped = person.clause("one", HOUR_MS).operands[0].events
    assert capped is not None
    assert capped.at_least
    assert (capped.events or 0) < 30, "a count is kept as far as its comparison needs it"


def test_looking_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS_MAX", 3)
    person = Explained(audience("one", "event('Order').within(1 day).sum(property('x')) >= 1"))
    for second in range(10):
        order(person, second * 1_000, x=1)
    found = person.explain("one", HOUR_MS)
    assert (found.changes_ms, found.looked_until_ms) == (None, START_MS + 2_000 + DAY_MS)
    person = Explained(audience("one", "event('Order').within(1 day).sum(property('x')) >= 8"))
    for second in range(10):
        order(person, second * 1_000, x=1)
    found = person.explain("one", HOUR_MS)
    assert (found.changes_ms, found.looked_until_ms) == (START_MS + 2_000 + DAY_MS, None)


def test_an_unknown_key_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Explained(REGULAR, LOST).explain("nobody", 0)


def accounts(key: str, query: str) -> Definition:
    return Definition(key, "audience", query, "ACCOUNTS")


def test_an_account_by_its_traits_and_by_its_users() -> None:
    trial = accounts("trial", "trait('plan') = 'trial'")
    busy = accounts("busy", "trait('trial') = true AND ANY (event('Order').count() >= 2)")
    ready, _ = compile_ready((trial, busy))
    account = Profile()
    account.clock = START_MS
    account.traits = {"plan": ["trial", START_MS, 1]}
    account.emitted = {"trial": True}
    account.members = Members()
    (condition,) = compile_plan(ready).conditions
    for number, user in enumerate(("prf_1", "prf_2", "prf_3")):
        account.members.join(user, 1)
        account.members.set(user, {condition: number > 0})
    found = explain(ready, "busy", account, START_MS + 1, "ACCOUNTS")
    assert isinstance(found.body, Clause)
    assert (found.value, found.emitted, found.is_anonymous, found.is_kept_out) == (True, False, False, False)
    of_trait, of_users = found.body.clauses
    assert (of_trait.junction, of_trait.operands[0].source, of_trait.operands[0].value) == (
        "comparison",
        "audience",
        True,
    )
    assert (of_users.junction, of_users.holds, of_users.text) == ("any", True, "ANY event('Order').count() >= 2")
    assert of_users.operands == (Operand("event('Order').count() >= 2", "users", 2, users=3),)
    with pytest.raises(KeyError):
        explain(ready, "busy", account, START_MS + 1)


def test_a_user_by_what_its_accounts_are() -> None:
    trial = accounts("trial", "trait('plan') = 'trial'")
    welcome = audience("welcome", "trait('trial') = true AND event('Order').count() = 0")
    person = Explained(trial, welcome)
    person.message(0, type="identify", traits={})
    person.profile.belonging = Belonging(accounts={"acme": [1, {"trial": True}]}, last={"trial": "acme"})
    clause = person.clause("welcome", 1)
    assert clause.holds
    assert clause.clauses[0].operands[0] == Operand("trait('trial')", "audience", True)
