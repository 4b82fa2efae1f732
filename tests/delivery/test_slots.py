"""Requests at once, and how a vendor's limits are learned from what it turns away."""

from __future__ import annotations

import asyncio

import pytest

from app.delivery.slots import PART_MIN, Congestion, Slots
from tests.delivery.jumping import run_jumping


def test_a_throttle_halves_and_time_in_which_requests_go_through_grows():
    load = Congestion()
    load.throttled(sent_s=9.0, now_s=10.0, after_s=20.0)
    assert load.part == 0.5
    load.throttled(sent_s=9.5, now_s=10.1)  # sent before the cut: the same news once more
    assert load.part == 0.5
    load.went_through(sent_s=9.0, now_s=35.0)
    assert load.part == 0.5
    load.went_through(sent_s=30.0, now_s=40.0)  # the vendor's pause does not count
    assert load.part == pytest.approx(0.65)
    load.throttled(sent_s=40.0, now_s=41.0)
    assert load.part == pytest.approx(0.325)
    load.went_through(sent_s=41.0, now_s=42.0)
    assert load.part == pytest.approx(0.3355)
    load.went_through(sent_s=41.0, now_s=500.0)
    assert load.part == 1.0


def test_growing_does_not_depend_on_how_often_requests_go_through_and_is_quick_once_nothing_is_wrong():
    for step_s in (0.1, 3.0, 7.0):
        load = Congestion()
        for second in range(8):
            load.throttled(sent_s=float(second), now_s=float(second))
        assert load.part == PART_MIN
        now_s = 7.0
        while now_s + step_s <= 27.0:
            now_s += step_s
            load.went_through(sent_s=7.0, now_s=now_s)
        t = now_s - 7.0
        assert load.part == pytest.approx(PART_MIN + 0.01 * t + 0.0005 * t * t)
        load.went_through(sent_s=7.0, now_s=7.0 + 36.0)
        assert load.part == 1.0


def test_it_never_shrinks_to_nothing():
    load = Congestion()
    for second in range(20):
        load.throttled(sent_s=float(second), now_s=float(second))
    assert load.part == PART_MIN


@pytest.mark.parametrize("cancelled", ["while it waits", "while it wants its slot back", "never"])
def test_a_slot_that_is_lent_is_held_again_whatever_comes_of_the_wait(cancelled: str) -> None:
    async def main() -> None:
        slots, over = Slots(1), asyncio.Event()
        await slots.take()
        lender = asyncio.ensure_future(slots.lend(asyncio.wait_for(over.wait(), 100.0)))
        await asyncio.sleep(0)
        await asyncio.wait_for(slots.take(), 1.0)  # somebody else has it meanwhile
        if cancelled == "while it waits":
            lender.cancel()
        over.set()
        await asyncio.sleep(1)
        assert lender.done() == (cancelled == "while it waits")
        if cancelled == "while it wants its slot back":
            lender.cancel()
            await asyncio.sleep(1)
        slots.give_back()
        await asyncio.wait([lender])
        assert slots.in_flight == 1
        slots.give_back()
        assert slots.in_flight == 0

    run_jumping(main())


def test_slots_are_given_in_turn_and_shrink_with_share_and_throttles():
    async def main() -> None:
        paces: list[float] = []
        held: list[float] = []
        slots = Slots(8, paced=paces.append)
        slots.listen(held.append)
        slots.set_share(0.5)
        for _ in range(4):
            await slots.take()
        got: list[int] = []

        async def wait(number: int) -> None:
            await slots.take()
            got.append(number)

        tasks = [asyncio.ensure_future(wait(number)) for number in range(4)]
        await asyncio.sleep(1)
        assert got == []
        tasks[0].cancel()  # whoever goes away does not take a slot along
        slots.give_back()
        await asyncio.sleep(1)
        assert (got, slots.in_flight) == ([1], 4)
        slots.throttled(sent_s=1.0, now_s=2.0, after_s=7.0)
        assert (slots.allowed, paces, held) == (2, [0.5], [7.0])
        slots.give_back()
        slots.give_back()
        await asyncio.sleep(1)
        assert got == [1]
        slots.give_back()
        await asyncio.sleep(1)
        assert got == [1, 2]
        slots.went_through(sent_s=3.0, now_s=1_000.0)  # all is well again
        await asyncio.sleep(1)
        assert (got, slots.allowed, slots.in_flight) == ([1, 2, 3], 4, 3)
        slots.set_share(0.0)
        assert slots.allowed == 1
        await asyncio.gather(*tasks, return_exceptions=True)

    run_jumping(main())


def test_a_slot_that_was_given_to_somebody_who_goes_is_free_again():
    async def main() -> None:
        slots = Slots(1)
        await slots.take()
        waiting = asyncio.ensure_future(slots.take())
        await asyncio.sleep(0)
        slots.give_back()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert slots.in_flight == 0

    run_jumping(main())
