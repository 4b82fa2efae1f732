"""Rates that are too slow to be shared out hold over all workers together, by the receiver's clock."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from app.delivery.timetable import Timetable
from app.ids import TimeMs
from tests.delivery.jumping import EPOCH_MS, JumpingLoop, LoopClock, run_jumping


class OwnClock(LoopClock):
    """A machine's clock that is off by some seconds."""

    def __init__(self, off_s: float = 0.0) -> None:
        self.off_s = off_s

    def now_ms(self) -> TimeMs:
        return TimeMs(super().now_ms() + int(self.off_s * 1000))


def most_within(stamps: list[float], window_s: float) -> int:
    return max((sum(stamp <= other < stamp + window_s for other in stamps) for stamp in stamps), default=0)


async def passed(pace: Timetable, seconds: float, late_s: float = 0.0, seed: int = 0) -> list[float]:
    """When requests passed, with one always waiting; each leaves up to so late."""
    loop, stamps, lot = asyncio.get_running_loop(), [], Random(seed)
    try:
        async with asyncio.timeout(seconds):
            while True:
                await pace.acquire()
                await asyncio.sleep(lot.random() * late_s)
                stamps.append(loop.time())
    except TimeoutError:
        return stamps


@pytest.mark.parametrize("rate", [0.1, 0.5, 1, 2, 2.5, 3, 11])
@pytest.mark.parametrize("workers", [1, 2, 5, 12])
def test_workers_together_stay_below_and_use_most_of_it(rate, workers):
    whole = int(rate) or rate
    window_s, seconds = max(1.0, 1 / rate), max(30, 60 / rate)

    async def main() -> list[float]:
        lot = Random(workers)
        paces = [Timetable(rate, clock=OwnClock(lot.uniform(-0.02, 0.02))) for _ in range(workers)]
        for number, pace in enumerate(paces):
            pace.set_share(range(number, 12, workers), 12)
        each = await asyncio.gather(*(passed(pace, seconds, 0.03, n) for n, pace in enumerate(paces)))
        return sorted(stamp for stamps in each for stamp in stamps)

    stamps = run_jumping(main())
    assert most_within(stamps, window_s) <= max(1, whole)
    assert len(stamps) >= (seconds - 1) * whole * 0.88 - 2


def test_moving_partitions_pass_nothing_and_lose_little():
    async def main() -> list[float]:
        first, second = Timetable(2, clock=LoopClock()), Timetable(2, clock=LoopClock())
        first.set_share(range(4), 4)

        async def move() -> None:
            for held in (3, 1, 2, 0, 4, 0, 4, 2):
                await asyncio.sleep(6.3)
                first.set_share(range(held), 4)
                second.set_share(range(held, 4), 4)

        stamps, others, _ = await asyncio.gather(passed(first, 60), passed(second, 60), move())
        return sorted(stamps + others)

    stamps = run_jumping(main())
    assert most_within(stamps, 1.0) <= 2
    assert len(stamps) > 80


def test_a_part_of_the_rate_lets_slots_pass():
    async def main() -> None:
        pace = Timetable(1, clock=LoopClock())
        pace.set_share(range(4), 4)
        assert pace.pace_per_s == pytest.approx(0.9)
        pace.set_part(0.5)
        assert len(await passed(pace, 100)) == pytest.approx(45, abs=2)
        pace.set_part(1 / 64)
        assert len(await passed(pace, 1_000)) == pytest.approx(14, abs=2)
        pace.set_part(1.0)
        assert len(await passed(pace, 100)) == pytest.approx(90, abs=2)

    run_jumping(main())


def test_a_clock_that_is_set_back_or_forward_neither_stops_it_nor_makes_it_fast():
    async def main() -> list[float]:
        clock = OwnClock()
        pace = Timetable(1, clock=clock)
        pace.set_share(range(4), 4)

        async def set_it() -> None:
            for off_s in (-3_600.0, -3_598.0, 7_200.0, 7_199.3):
                await asyncio.sleep(10)
                clock.off_s = off_s

        stamps, _ = await asyncio.gather(passed(pace, 60), set_it())
        return stamps

    stamps = run_jumping(main())
    assert len(stamps) > 40
    assert most_within(stamps, 1.0) <= 2


def test_nothing_goes_without_a_place_and_what_is_lost_rests_at_once():
    async def main() -> None:
        pace = Timetable(5, clock=LoopClock())
        assert await passed(pace, 20) == []
        pace.set_share([2], 8)
        assert len(await passed(pace, 20)) == pytest.approx(20 * 5 * 0.9 / 8, abs=2)
        pace.set_share([], 8)
        assert await passed(pace, 20) == []

    run_jumping(main())


def test_a_loop_that_is_late_all_the_time_does_not_stand_still_and_is_strict_again_afterwards():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        pace = Timetable(2, clock=LoopClock())
        pace.set_share(range(1, 4), 4)

        async def hog() -> None:
            while True:
                loop.jumped_s += 0.4  # something blocks the loop
                await asyncio.sleep(0.001)

        busy = asyncio.ensure_future(hog())
        late = await passed(pace, 100)
        assert len(late) > 40, "of 135"
        assert most_within(late, 1.0) <= 3
        busy.cancel()
        await passed(pace, 5)

        async def now_and_then() -> None:
            while True:
                await asyncio.sleep(1.9)
                loop.jumped_s += 0.4

        busy = asyncio.ensure_future(now_and_then())
        stamps = await passed(pace, 60)
        busy.cancel()
        slots = [stamp * 1.8 + EPOCH_MS / 1000 * 1.8 for stamp in stamps]
        assert {int(slot) % 4 for slot in slots} == {1, 2, 3}
        assert max(slot % 1 for slot in slots) < 0.2, "a slot that was missed was used all the same"
        assert len(stamps) > 50

    run_jumping(main())
