"""What was asked for all at once goes when nothing else is there to go, and never in another order of a profile."""

from __future__ import annotations

from app.activation.outcome import Delivered, Reason, Retry
from app.delivery.work import LaneSettings
from tests.delivery.records import record
from tests.delivery.test_lane import NEVER_BREAKS, Driver

FAILS = Retry(Reason.SERVER_ERROR)


def test_live_payloads_pass_a_backfill_that_was_there_before():
    driver = Driver()
    driver.take(*(record(offset, f"b{offset}", origin="backfill") for offset in range(3)))
    driver.take(record(3, "r", origin="resync"), record(4, "x"), record(5, "y", origin="merge"))
    order = [driver.answer(Delivered())[0] for _ in range(6)]
    assert order == ["x-4", "y-5", "b0-0", "b1-1", "b2-2", "r-3"]
    assert (driver.committable, driver.lane.pending, driver.lane.under_way) == (6, 0, 0)


def test_a_live_payload_takes_its_profiles_backlog_along():
    driver = Driver()
    driver.take(*(record(offset, name, origin="backfill") for offset, name in enumerate("abab")))
    driver.take(record(4, "b"))
    assert driver.lane.under_way == 0
    order = [driver.answer(Delivered())[0] for _ in range(5)]
    assert order == ["b-1", "b-3", "b-4", "a-0", "a-2"]


def test_retries_go_before_the_backlog_and_behind_what_is_live():
    driver = Driver()
    driver.take(record(0, "a"))
    driver.answer(FAILS)
    driver.take(record(1, "b", origin="backfill"), record(2, "c"))
    driver.now_s += 10
    assert [driver.answer(Delivered())[0] for _ in range(3)] == ["c-2", "a-0", "b-1"]


def test_a_backlog_of_whom_something_is_on_its_way_waits_behind_it():
    driver = Driver()
    driver.take(record(0, "a"), record(1, "a", origin="backfill"), record(2, "b", origin="backfill"))
    first, second = driver.must(), driver.must()
    assert [batch.items[0].payload.id for batch in (first, second)] == ["a-0", "b-2"]
    assert driver.next() is None
    assert (driver.lane.parked, driver.lane.under_way) == (1, 2)
    driver.settle(first, Delivered())
    assert driver.answer(Delivered())[0] == "a-1"


def test_the_backlog_has_a_limit_of_its_own_and_goes_with_its_partition():
    driver = Driver(LaneSettings(breaker=NEVER_BREAKS, queue_items_max=2, backlog_items_max=3))
    driver.take(*(record(offset, f"b{offset}", origin="backfill") for offset in range(2)))
    assert driver.lane.has_room
    driver.take(record(2, "b2", origin="backfill"))
    assert not driver.lane.has_room
    driver.take(record(3, "b1"))  # takes b1-1 along, which makes room in the one and fills the other
    assert not driver.lane.has_room
    driver.lane.assign(0, 0)
    assert driver.lane.has_room
    assert driver.next() is None
    assert driver.lane.pending == 0
