"""Which payloads share a request, which are told once, and which are worth no more tries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from app.activation.outcome import Delivered, Reason, Retry
from app.delivery.lane import Lane
from app.delivery.work import Record, Settled
from tests.contract.destination_fixtures import configured
from tests.delivery.records import record, webhook
from tests.delivery.test_lane import SETTINGS, Driver, ids


def batched(**more: Any) -> Driver:
    """A lane whose payloads share requests by event name, and are about an e-mail address each."""
    driver = Driver()
    configured = replace(
        webhook(batch_items_max=10),
        key=lambda payload: payload.ids.get("email", payload.profile),
        group=lambda payload: payload.event,
        **more,
    )
    driver.lane = Lane(configured, SETTINGS, jitter=lambda: 0.5, observe=driver.facts.append)
    driver.lane.assign(0, 0)
    return driver


def event(offset: int, profile: str, name: str, email: str = "", *, sequence: int | None = None) -> Record:
    about = {"context": {"traits": {"email": email}}} if email else {}
    made = record(offset, profile, type="track", event=name, properties={"vip": True}, **about)
    value = orjson.loads(made.value or b"") | ({} if sequence is None else {"sequence": sequence})
    return Record(offset, made.key, orjson.dumps(value))


def test_a_request_holds_one_group_and_those_passed_over_are_next_in_their_order():
    driver = batched()
    driver.take(*[event(n, f"p{n}", name) for n, name in enumerate("abacbba")])
    batches = []
    while (batch := driver.next()) is not None:
        batches.append(ids(batch))
    assert batches == [["p0-0", "p2-2", "p6-6"], ["p1-1", "p4-4", "p5-5"], ["p3-3"]]


def test_a_request_holds_no_key_twice():
    driver = batched()
    driver.take(event(0, "p0", "a", "x@h"), event(1, "p1", "a", "x@h"), event(2, "p2", "a", "y@h"))
    assert ids(driver.must()) == ["p0-0", "p2-2"]
    assert ids(driver.must()) == ["p1-1"]


def test_of_the_payloads_of_one_change_that_the_vendor_cannot_tell_apart_one_goes():
    driver = batched(repeats=False)
    driver.take(*[event(n, "p0", "a", email, sequence=7) for n, email in enumerate(("x@h", "y@h", "x@h"))])
    driver.take(event(3, "p0", "a", "x@h", sequence=8))
    sent = []
    while (batch := driver.next()) is not None:
        sent += ids(batch)
        driver.settle(batch, Delivered())
    assert sent == ["p0-0", "p0-1", "p0-3"]
    assert driver.committable == 4
    filtered = [fact for fact in driver.facts if isinstance(fact, Settled) and fact.outcome == "filtered"]
    assert [(fact.payload.id, fact.reason) for fact in filtered if fact.payload] == [("p0-2", Reason.REPEATED)]


def test_a_payload_that_comes_again_is_not_taken_for_a_repeat():
    driver = batched(repeats=False)
    first = event(0, "p0", "a", "x@h", sequence=7)
    driver.take(first, Record(1, first.key, first.value))
    assert [driver.answer(Delivered())[0] for _ in range(2)] == ["p0-0", "p0-0"]


def test_a_retry_that_is_not_worth_more_tries_ends_in_a_dead_letter():
    driver = Driver()
    driver.take(record(0, "a"))
    unreadable = Retry(Reason.UNREADABLE, attempts_max=3)
    for _ in range(2):
        assert driver.answer(unreadable)[1] == []
        driver.now_s += 300
    _, (dead,) = driver.answer(unreadable)
    assert (dead.reason, dead.attempts) == (Reason.UNREADABLE, 3)


def test_a_payload_whose_place_cannot_be_told_is_buried():
    driver = Driver()
    http = configured("http", {"settings": {"url": "https://h.example/{user_id}"}})
    driver.lane = Lane(http, SETTINGS, jitter=lambda: 0.5, observe=driver.facts.append)
    driver.lane.assign(0, 0)
    (dead,) = driver.take(record(0, "a", userId=".."), record(1, "b"))
    assert (dead.offset, dead.reason) == (0, Reason.UNREADABLE)
    assert ids(driver.must()) == ["b-1"]
