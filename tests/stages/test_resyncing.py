"""A connection that is new to a definition is told who is in it and what they have: all of them, once, in portions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from app.definitions.model import Definition, Subscription
from app.profiles.store import PROFILE
from app.stages import envelope, resyncing
from app.stages.records import Work
from tests.stages.test_compute import AT_MS, CATALOG, TOPICS, Bench, event

PEOPLE = [f"p{number:02}" for number in range(11)]
CRM = Subscription("active", "audience", "crm")
ADS = Subscription("active", "audience", "ads", lists=True)
MAIL = Subscription("active", "audience", "mail")
CONNECTED = replace(CATALOG, subscriptions=(CRM,))


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resyncing, "PORTION_MAX", 4)


def populated() -> Bench:
    """All have ordered; every third one longer ago than an hour, so that only the others are active."""
    bench = Bench()
    through(bench, bench.feed((None, envelope.catalog(CONNECTED))))
    for number, person in enumerate(PEOPLE):
        said = event(AT_MS, f"m:{person}", userId=person, context={"traits": {"email": f"{person}@x.org"}})
        bench.feed((person.encode(), said.replace(b'["user_id","u"]', b'["user_id","%b"]' % person.encode())))
        if number % 3 == 0:
            due = bench.profile(person.encode()).armed_due
            bench.feed((person.encode(), envelope.timer(due)))
    return bench


ACTIVE = [person for number, person in enumerate(PEOPLE) if number % 3]


def told(work: Work, destination: str) -> list[dict[str, Any]]:
    records = work.outputs.get((TOPICS.destination(destination), 0), ())
    return [orjson.loads(value or b"") for _, value, _ in records]


def asked(bench: Bench, payloads: int = 0) -> list[tuple[None, bytes]]:
    """Records that ask for the next portion of each resync under way."""
    resyncs = bench.stage._held.meta.resyncs
    return [(None, envelope.encode(envelope.Resync(id_, each.after, payloads))) for id_, each in resyncs.items()]


def through(bench: Bench, work: Work) -> list[Work]:
    """Ask for portions until all have been told."""
    done = [work]
    while records := asked(bench):
        done.append(bench.feed(*records))
    return done


def test_a_new_connection_gets_every_member_and_a_list_hears_who_has_left_too() -> None:
    bench = populated()
    profiles = {person: bench.store.get(PROFILE + person.encode()) for person in PEOPLE}
    first = bench.feed((None, envelope.catalog(replace(CONNECTED, subscriptions=(CRM, ADS, MAIL)))))
    works = through(bench, first)
    payloads = [payload for work in works for payload in told(work, "ads")]
    inside = {payload["profile"]: payload["payload"]["traits"]["active"] for payload in payloads}
    # A list may know who has left from an earlier connection.
    assert inside == {person: person in ACTIVE for person in PEOPLE}
    mails = [payload for work in works for payload in told(work, "mail")]
    assert [payload["profile"] for payload in mails] == ACTIVE
    assert {payload["origin"] for payload in payloads} == {"resync"}
    assert len({payload["id"] for payload in payloads}) == len(payloads) == len(PEOPLE)
    assert len(works) == 4  # portions of four, of both at once, and the catalogue before them
    assert not any(told(work, "crm") or work.outputs.get((TOPICS.changes, 0)) for work in works)
    assert {person: bench.store.get(PROFILE + person.encode()) for person in PEOPLE} == profiles
    assert bench.stage._held.meta.resyncs == {}


def test_a_trait_is_told_as_it_is_to_whoever_is_newly_connected() -> None:
    bench = populated()
    catalog = replace(
        CONNECTED, subscriptions=(CRM, Subscription("orders", "trait", "mail", calls=("identify", "track")))
    )
    works = through(bench, bench.feed((None, envelope.catalog(catalog))))
    payloads = [payload for work in works for payload in told(work, "mail")]
    assert [payload["profile"] for payload in payloads] == [person for person in PEOPLE for _ in range(2)]
    assert {payload["payload"].get("event") for payload in payloads} == {None, "Trait Computed"}


def test_what_is_no_new_connection_tells_nothing() -> None:
    bench = populated()
    new = Definition(key="many", kind="audience", query="event('Order').count() >= 1")
    for catalog in (
        CONNECTED,  # announced again
        replace(CONNECTED, subscriptions=(replace(CRM, calls=("track",)),)),  # another setting
        replace(CONNECTED, subscriptions=(CRM, replace(ADS, historical=False))),
        replace(
            CATALOG,
            definitions=(*CATALOG.definitions, new),
            subscriptions=(CRM, Subscription("many", "audience", "ads")),
        ),
    ):
        bench.feed((None, envelope.catalog(catalog)))
        assert asked(bench) == []


def test_a_portion_that_comes_twice_is_told_once_and_what_was_given_up_not_at_all() -> None:
    bench = populated()
    both = envelope.catalog(replace(CONNECTED, subscriptions=(CRM, MAIL)))
    bench.feed((None, both))
    (portion,) = asked(bench)
    assert len(told(bench.feed(portion), "mail")) == 2
    (following,) = asked(bench)
    assert told(bench.feed(portion), "mail") == []
    assert asked(bench) == [following]
    bench = populated()
    bench.feed((None, both))
    (portion,) = asked(bench)
    bench.feed((None, envelope.catalog(CONNECTED)))  # disconnected again
    assert asked(bench) == []
    assert told(bench.feed(portion), "mail") == []


def test_a_portion_ends_with_the_payloads_that_there_is_room_for_and_each_destination_goes_at_its_own_pace() -> None:
    bench = populated()
    twice = replace(MAIL, calls=("identify", "track"))
    bench.feed((None, envelope.catalog(replace(CONNECTED, subscriptions=(CRM, ADS, twice)))))
    slow, fast = asked(bench, payloads=3)[1], asked(bench)[0]
    # Two payloads each: the second person makes four, which is the first number that is not too few.
    assert [payload["profile"] for payload in told(bench.feed(slow), "mail")] == ["p01", "p01", "p02", "p02"]
    assert len(told(bench.feed(fast), "ads")) == 4
    slow, fast = asked(bench, payloads=1)[1], asked(bench)[0]
    assert [payload["profile"] for payload in told(bench.feed(slow), "mail")] == ["p04", "p04"]
    assert [payload["profile"] for payload in told(bench.feed(fast), "ads")] == ["p04", "p05", "p06", "p07"]
    mails = [payload for work in through(bench, bench.feed(*asked(bench))) for payload in told(work, "mail")]
    assert [payload["profile"] for payload in mails] == [person for person in ACTIVE[3:] for _ in range(2)]


def test_a_worker_that_takes_over_goes_on_where_the_other_was() -> None:
    bench = populated()
    bench.feed((None, envelope.catalog(replace(CONNECTED, subscriptions=(CRM, MAIL)))))
    payloads = []
    while records := asked(bench):
        bench.stage = bench.new_stage()
        payloads += told(bench.feed(*records), "mail")
    assert [payload["profile"] for payload in payloads] == ACTIVE


def test_who_leaves_meanwhile_is_told_last_that_they_have_left() -> None:
    bench = populated()
    bench.feed((None, envelope.catalog(replace(CONNECTED, subscriptions=(CRM, MAIL)))))
    payloads = []
    gone, due = b"p10", bench.profile(b"p10").armed_due
    work = bench.feed(*asked(bench), (gone, envelope.timer(due)))
    for each in through(bench, work):
        payloads += told(each, "mail")
    assert [payload["payload"]["traits"]["active"] for payload in payloads if payload["profile"] == "p10"] == [False]
    assert sorted({payload["profile"] for payload in payloads}) == ACTIVE
