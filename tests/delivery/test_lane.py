"""The lane's decisions, told by hand what time it is and what came of each request."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest

from app.activation.outcome import Delivered, Disabled, Outcome, Partial, Pause, Reason, Rejected, Retry
from app.delivery.breaker import BreakerSettings, BreakerState
from app.delivery.dead_letter import Evidence
from app.delivery.gate import LaneState
from app.delivery.lane import Lane
from app.delivery.retry import HOUR_S, RetrySettings
from app.delivery.work import Batch, Dead, Fact, LaneSettings, Record, Settled, StateChanged
from tests.delivery.records import record, webhook

NEVER_BREAKS = BreakerSettings(in_a_row=10**9, requests_min=10**9)
SETTINGS = LaneSettings(breaker=NEVER_BREAKS)
FAILS = Retry(Reason.SERVER_ERROR)
UNAUTHORIZED = Pause(Reason.UNAUTHORIZED)


class Driver:
    """A lane, its clock, and what was heard of it."""

    def __init__(self, settings: LaneSettings = SETTINGS, *, jitter: float = 0.5, **limits: Any) -> None:
        self.facts: list[Fact] = []
        self.now_s = 1_000.0
        needs = limits.pop("needs", ())
        configured = replace(webhook(**limits), needs=needs)
        self.lane = Lane(configured, settings, jitter=lambda: jitter, observe=self.facts.append)
        self.lane.assign(0, 0)

    def take(self, *records: Record, partition: int = 0) -> list[Dead]:
        return self.lane.take(partition, records)

    def next(self) -> Batch | None:
        return self.lane.next_batch(self.now_s)

    def must(self) -> Batch:
        batch = self.next()
        assert batch is not None
        return batch

    def settle(self, batch: Batch, outcome: Outcome) -> list[Dead]:
        return self.lane.settle(batch, outcome, evidence=Evidence(), message="told", now_s=self.now_s)

    def answer(self, outcome: Outcome) -> tuple[str, list[Dead]]:
        """Send the next and answer it."""
        batch = self.must()
        return batch.items[0].payload.id, self.settle(batch, outcome)

    def bury(self, dead: list[Dead]) -> None:
        for one in dead:
            self.lane.buried(one, self.now_s)

    @property
    def committable(self) -> int | None:
        return self.lane.committable(0)

    def states(self) -> list[tuple[LaneState, Reason | None]]:
        return [(fact.state, fact.reason) for fact in self.facts if isinstance(fact, StateChanged)]


def ids(batch: Batch) -> list[str]:
    return [item.payload.id for item in batch.items]


def test_a_profile_has_one_payload_on_its_way_and_others_do_not_wait_for_it():
    driver = Driver()
    driver.take(record(0, "a"), record(1, "a"), record(2, "b"))
    first = driver.must()
    assert ids(first) == ["a-0"]
    second = driver.must()
    assert ids(second) == ["b-2"]
    assert driver.next() is None
    driver.settle(second, Delivered())
    assert (driver.committable, driver.lane.pending) == (0, 2)
    driver.settle(first, Delivered())
    assert driver.committable == 1
    assert driver.answer(Delivered())[0] == "a-1"
    assert (driver.committable, driver.lane.pending, driver.lane.parked) == (3, 0, 0)


def test_a_failed_payload_is_parked_and_later_ones_of_its_profile_behind_it():
    driver = Driver()
    driver.take(record(0, "a"), record(1, "a"), record(2, "a"))
    driver.answer(FAILS)
    assert driver.next() is None
    assert driver.lane.parked == 3
    assert driver.lane.wake_s() == driver.now_s + 0.5
    driver.now_s += 0.5
    driver.answer(FAILS)
    assert driver.lane.wake_s() == driver.now_s + 1.0
    driver.now_s += 1.0
    assert [driver.answer(Delivered())[0] for _ in range(3)] == ["a-0", "a-1", "a-2"]
    assert driver.committable == 3
    delivered = [fact for fact in driver.facts if isinstance(fact, Settled) and fact.outcome == "delivered"]
    assert [fact.attempts for fact in delivered] == [3, 1, 1]


def test_first_tries_go_before_retries():
    driver = Driver()
    driver.take(record(0, "a"))
    driver.answer(FAILS)
    driver.now_s += 10
    driver.take(record(1, "b"), record(2, "c"))
    assert [driver.answer(Delivered())[0] for _ in range(3)] == ["b-1", "c-2", "a-0"]


def test_what_the_vendor_asks_for_holds_the_whole_lane():
    driver = Driver()
    driver.take(record(0, "a"), record(1, "b"))
    driver.answer(Retry(Reason.THROTTLED, 30.0))
    assert driver.next() is None
    assert driver.lane.wake_s() == driver.now_s + 30
    driver.now_s += 29.999
    assert driver.next() is None
    driver.now_s += 0.001
    assert ids(driver.must()) == ["b-1"]
    assert ids(driver.must()) == ["a-0"]


def test_a_time_that_is_asked_for_one_payload_holds_only_that_one():
    driver = Driver()
    driver.take(record(0, "a"), record(1, "b"))
    driver.answer(Retry(Reason.REFUSED, 10.0))
    assert driver.answer(Delivered())[0] == "b-1"
    assert driver.lane.wake_s() == driver.now_s + 10


def test_who_has_too_much_to_do_is_not_taken_for_down():
    driver = Driver(LaneSettings())
    driver.take(*(record(offset, f"p{offset}") for offset in range(60)))
    for _ in range(30):
        driver.answer(Retry(Reason.THROTTLED))
    assert driver.lane.breaker(driver.now_s) is BreakerState.CLOSED
    for _ in range(10):
        driver.answer(FAILS)
    assert driver.lane.breaker(driver.now_s) is BreakerState.OPEN
    driver.now_s += 30
    probe = driver.must()
    assert driver.next() is None
    driver.settle(probe, Retry(Reason.THROTTLED))  # of a probe it is no good news either
    assert driver.lane.breaker(driver.now_s) is BreakerState.OPEN


def test_a_rejected_payload_holds_its_offset_and_its_profile_until_it_is_buried():
    driver = Driver()
    driver.take(record(0, "a"), record(1, "a"))
    _, dead = driver.answer(Rejected(Reason.REFUSED))
    (one,) = dead
    assert (one.reason, one.attempts, one.offset, one.key) == (Reason.REFUSED, 1, 0, b"a")
    assert driver.next() is None
    assert driver.committable == 0
    driver.bury(dead)
    assert driver.committable == 1
    assert driver.answer(Delivered())[0] == "a-1"


def test_given_up_after_four_hours_without_counting_pauses():
    driver = Driver(jitter=0.999)
    driver.take(record(0, "a"))
    driver.answer(FAILS)
    began_s, paused_s = driver.now_s, 0.0
    for attempt in range(1000):
        driver.now_s = max(driver.lane.wake_s() or 0.0, driver.now_s)
        if attempt == 5:
            driver.answer(UNAUTHORIZED)
            driver.now_s += 9 * HOUR_S
            paused_s = 9 * HOUR_S
            driver.lane.resume(driver.now_s)
            driver.answer(Retry(Reason.TIMEOUT))  # the probe; still stopped
            driver.lane.resume(driver.now_s)
            driver.take(record(1, "b"))
            driver.answer(Delivered())
            assert driver.lane.state is LaneState.RUNNING
            continue
        _, dead = driver.answer(FAILS)
        if dead:
            break
    assert dead[0].reason is Reason.EXPIRED
    assert 4 * HOUR_S <= driver.now_s - began_s - paused_s < 4 * HOUR_S + 301


def test_an_unreadable_record_is_dead_at_once_and_settled_when_buried():
    driver = Driver()
    dead = driver.take(Record(0, None, b"{"), record(1, "a"), Record(2, b"k", None))
    assert [(one.offset, one.reason, one.item) for one in dead] == [
        (0, Reason.UNREADABLE, None),
        (2, Reason.UNREADABLE, None),
    ]
    driver.answer(Delivered())
    assert driver.committable == 0
    driver.bury(dead)
    assert driver.committable == 3


def test_a_payload_without_what_the_vendor_needs_is_filtered_and_counted():
    driver = Driver(needs=("email",))
    driver.take(record(0, "a"), record(1, "b", traits={"vip": True, "email": "b@x.org"}))
    assert ids(driver.must()) == ["b-1"]
    (fact,) = driver.facts
    assert isinstance(fact, Settled)
    assert (fact.outcome, fact.reason) == ("filtered", Reason.NO_IDENTIFIER)
    assert driver.committable == 1


def test_401_pauses_keeps_everything_and_probes_ever_more_seldom():
    driver = Driver()
    driver.take(*(record(offset, f"p{offset}") for offset in range(6)))
    in_flight = [driver.must(), driver.must()]
    driver.settle(in_flight[0], UNAUTHORIZED)
    assert driver.states() == [(LaneState.PAUSED, Reason.UNAUTHORIZED)]
    driver.settle(in_flight[1], Delivered())  # was on its way before: no sign that credentials are good
    assert driver.next() is None
    for wait_s in (10, 20, 40, 80, 160, 300, 300):
        assert driver.lane.wake_s() == driver.now_s + wait_s
        driver.now_s += wait_s
        probe = driver.must()
        assert probe.probe
        assert driver.next() is None
        driver.settle(probe, UNAUTHORIZED)
        assert driver.next() is None
    driver.lane.resume(driver.now_s)
    first, _ = driver.answer(Delivered())
    assert driver.states()[1:] == [(LaneState.RUNNING, None)]
    driver.settle(driver.must(), UNAUTHORIZED)
    assert driver.lane.wake_s() == driver.now_s + 10
    driver.now_s += 10
    seen = [first, *(driver.answer(Delivered())[0] for _ in range(4))]
    assert sorted(seen) == ["p0-0", "p2-2", "p3-3", "p4-4", "p5-5"]
    assert driver.committable == 6


def test_410_disables_until_somebody_resumes():
    driver = Driver()
    driver.take(record(0, "a"))
    driver.answer(Disabled())
    assert driver.states() == [(LaneState.DISABLED, Reason.GONE)]
    driver.now_s += 10 * HOUR_S
    assert (driver.next(), driver.lane.wake_s(), driver.committable) == (None, None, 0)
    driver.lane.resume(driver.now_s)
    driver.answer(Delivered())
    assert (driver.lane.state, driver.committable) == (LaneState.RUNNING, 1)


def test_the_brake_stops_a_lane_that_only_makes_dead_letters():
    driver = Driver()
    driver.take(*(record(offset, f"p{offset}") for offset in range(300)))
    for _ in range(100):
        driver.bury(driver.answer(Rejected(Reason.REDIRECT))[1])
    assert driver.states() == [(LaneState.BRAKED, Reason.TOO_MANY_DEAD)]
    driver.now_s += 10 * HOUR_S
    assert (driver.next(), driver.lane.wake_s(), driver.committable) == (None, None, 100)
    driver.lane.resume(driver.now_s)
    assert driver.lane.state is LaneState.RUNNING
    driver.bury(driver.answer(Rejected(Reason.REDIRECT))[1])
    assert driver.lane.state is LaneState.RUNNING


def test_an_open_breaker_lets_one_probe_through_at_a_time():
    driver = Driver(LaneSettings(breaker=BreakerSettings(in_a_row=3)))
    driver.take(*(record(offset, f"p{offset}") for offset in range(9)))
    for _ in range(3):
        driver.answer(FAILS)
    assert driver.next() is None
    driver.now_s += 30
    probe = driver.must()
    assert probe.probe
    assert driver.next() is None
    driver.settle(probe, Delivered())
    assert not driver.must().probe


def test_a_probe_that_makes_no_request_proves_nothing():
    driver = Driver()
    driver.take(record(0, "a"), record(1, "b"))
    driver.answer(UNAUTHORIZED)
    driver.lane.resume(driver.now_s)
    probe = driver.must()
    driver.lane.settle(
        probe, Rejected(Reason.TOO_LARGE), evidence=Evidence(), message="", now_s=driver.now_s, heard=False
    )
    assert driver.lane.state is LaneState.PAUSED
    assert driver.must().probe


def test_no_more_requests_than_allowed_are_in_flight():
    driver = Driver(in_flight_max=2)
    driver.take(*(record(offset, f"p{offset}") for offset in range(5)))
    first = driver.must()
    driver.must()
    assert driver.next() is None
    driver.settle(first, Delivered())
    assert driver.next() is not None
    assert driver.next() is None


def test_a_batch_holds_each_profile_once_and_stays_below_the_bytes():
    driver = Driver(settings=SETTINGS, batch_items_max=3)
    driver.take(record(0, "a"), record(1, "a"), record(2, "b"), record(3, "c"), record(4, "d"))
    batch = driver.must()
    assert ids(batch) == ["a-0", "b-2", "c-3"]
    driver.settle(batch, Delivered())
    assert ids(driver.must()) == ["a-1", "d-4"]
    value = record(0, "a").value
    assert value is not None
    driver = Driver(batch_items_max=9, body_bytes_max=2 * len(value))
    driver.take(*(record(offset, name) for offset, name in enumerate("abcde")))
    assert [ids(driver.must()) for _ in range(3)] == [["a-0", "b-1"], ["c-2", "d-3"], ["e-4"]]


def test_a_refused_batch_is_tried_item_by_item_and_a_too_large_one_by_halves():
    driver = Driver(batch_items_max=4)
    driver.take(*(record(offset, name) for offset, name in enumerate("abcd")))
    assert driver.settle(driver.must(), Rejected(Reason.REFUSED)) == []
    alone = [driver.must() for _ in range(4)]
    assert [ids(batch) for batch in alone] == [["a-0"], ["b-1"], ["c-2"], ["d-3"]]
    (dead,) = driver.settle(alone[0], Rejected(Reason.REFUSED))
    assert dead.offset == 0
    driver = Driver(batch_items_max=4)
    driver.take(*(record(offset, name) for offset, name in enumerate("abcd")))
    driver.settle(driver.must(), Rejected(Reason.TOO_LARGE))
    assert [ids(driver.must()) for _ in range(2)] == [["a-0", "b-1"], ["c-2", "d-3"]]


def test_the_items_of_a_partial_answer_fare_differently():
    driver = Driver(batch_items_max=3)
    driver.take(*(record(offset, name) for offset, name in enumerate("abc")))
    dead = driver.settle(driver.must(), Partial((FAILS, Delivered(), Rejected(Reason.REFUSED))))
    assert [one.offset for one in dead] == [2]
    driver.bury(dead)
    driver.now_s += 1
    assert ids(driver.must()) == ["a-0"]


def test_a_revoked_partition_is_dropped_and_late_answers_mean_nothing():
    driver = Driver()
    driver.lane.assign(1, 0)
    driver.take(record(0, "a"), record(1, "a"), record(2, "b"), record(3, "c"))
    driver.take(record(0, "z"), partition=1)
    late, parked = driver.must(), driver.must()
    driver.settle(parked, FAILS)
    driver.lane.revoke(0)
    assert (driver.committable, driver.lane.parked, driver.lane.pending) == (None, 0, 1)
    assert driver.settle(late, Rejected(Reason.REFUSED)) == []
    driver.now_s += 600
    assert ids(driver.must()) == ["z-0"]
    assert driver.next() is None
    assert driver.take(record(4, "a")) == []
    driver.lane.assign(0, 0)
    driver.take(record(0, "a"))
    assert ids(driver.must()) == ["a-0"]


def test_records_that_come_twice_are_taken_once():
    driver = Driver()
    driver.take(record(0, "a"), record(1, "b"))
    driver.take(record(1, "b"), record(2, "c"))
    assert [ids(driver.must())[0] for _ in range(3)] == ["a-0", "b-1", "c-2"]
    assert driver.next() is None


@pytest.mark.parametrize("limit", ["queue", "parked"])
def test_at_its_limits_it_has_no_room_until_something_is_settled(limit):
    settings = replace(SETTINGS, **({"queue_items_max": 3} if limit == "queue" else {"parked_items_max": 3}))
    driver = Driver(settings)
    driver.take(*(record(offset, "a") for offset in range(3)))
    batch = driver.must()
    if limit == "queue":
        assert driver.lane.has_room
        driver.take(*(record(offset, f"p{offset}") for offset in range(3, 6)))
    else:
        driver.settle(batch, FAILS)
        assert driver.next() is None
    assert not driver.lane.has_room
    driver.now_s += 600
    driver.answer(Delivered())
    assert driver.lane.has_room


@pytest.mark.parametrize("seed", range(30))
def test_whatever_the_outcomes_each_profile_keeps_its_order_and_nothing_is_lost(seed):
    """A simulation: 12 profiles, 3 partitions, requests that overtake each other, answers by lot, revocations."""
    lot = random.Random(seed)
    print(f"seed {seed}")
    driver = Driver(
        LaneSettings(retry=RetrySettings(give_up_after_s=60), brake_window=10**6, breaker=BreakerSettings()),
        jitter=lot.random(),
        in_flight_max=lot.choice([1, 3, 20]),
        batch_items_max=lot.choice([1, 1, 4]),
    )
    log = {
        partition: [
            record(offset, f"p{partition}.{lot.randrange(4)}", origin=lot.choice(["live", "backfill", "resync"]))
            for offset in range(40)
        ]
        for partition in range(3)
    }
    bad = {f"{name}-{offset}" for name in (f"p{p}.{n}" for p in log for n in range(4)) for offset in (7, 20, 21)}
    read: dict[int, int] = {}
    landed: dict[str, list[int]] = defaultdict(list)
    done: set[str] = set()
    on_their_way: list[Batch] = []
    dying: list[Dead] = []

    def assign(partition: int) -> None:
        at, note = driver.lane.committable(partition) or 0, driver.lane.note(partition)
        driver.lane.assign(partition, at, note)
        read[partition] = at

    for partition in log:
        assign(partition)
    for _ in range(20_000):
        step = lot.random()
        if step < 0.2:
            partition = lot.randrange(3)
            until = min(read[partition] + lot.randrange(1, 9), 40)
            dying += driver.take(*log[partition][read[partition] : until], partition=partition)
            read[partition] = until
        elif step < 0.5:
            batch = driver.next()
            if batch is not None:
                on_their_way.append(batch)
        elif step < 0.75 and on_their_way:
            batch = on_their_way.pop(lot.randrange(len(on_their_way)))
            one = lot.choice([Delivered(), Delivered(), Delivered(), FAILS, UNAUTHORIZED])
            if any(item.payload.id in bad for item in batch.items):
                one = Rejected(Reason.REFUSED)  # the same at every repeat
            for item in batch.items:
                if isinstance(one, Delivered):
                    landed[item.payload.profile].append(item.offset)
                    done.add(item.payload.id)
            dying += driver.settle(batch, one)
        elif step < 0.85 and dying:
            dead = dying.pop(0)
            driver.bury([dead])
            assert dead.item is not None
            done.add(dead.item.payload.id)
        elif step < 0.86:
            driver.lane.resume(driver.now_s)
        elif step < 0.863:
            assign(lot.randrange(3))  # revoked and given back; what was on its way never arrives
            while on_their_way:
                dying += driver.settle(on_their_way.pop(), FAILS)
        else:
            driver.now_s += lot.random() * 5
        if all(driver.lane.committable(partition) == 40 for partition in log):
            break
    else:
        raise AssertionError(f"stuck: {driver.lane.state}, {driver.lane.pending} pending")
    assert done == {f"{record_.key.decode()}-{record_.offset}" for records in log.values() for record_ in records}
    assert driver.lane.parked == driver.lane.pending == 0
    for profile, offsets in landed.items():
        # A repeat after a revocation goes back to an older offset, but then comes all that follows, again in order.
        assert offsets[-1] == max(offsets), profile
        firsts = list(dict.fromkeys(offsets))
        assert firsts == sorted(firsts), (profile, offsets)
