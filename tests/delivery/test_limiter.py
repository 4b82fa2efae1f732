"""The rate in any sliding second, the share of it, and how shares change hands."""

import asyncio

import pytest

from app.delivery.limiter import Limiter
from tests.delivery.jumping import LoopClock, run_jumping


def most_in_a_second(stamps: list[float]) -> int:
    return max((sum(1 for other in stamps[i:] if other - stamp < 1.0) for i, stamp in enumerate(stamps)), default=0)


async def passed(limiter: Limiter, seconds: float) -> list[float]:
    """When requests passed, with one always waiting."""
    loop, stamps = asyncio.get_running_loop(), []
    end_s = loop.time() + seconds
    try:
        async with asyncio.timeout_at(end_s):
            while True:
                await limiter.acquire()
                stamps.append(loop.time())
    except TimeoutError:
        return stamps


@pytest.mark.parametrize("rate", [1, 3, 10, 100, 500, 2_000])
def test_no_sliding_second_passes_the_rate_and_most_of_it_is_used(rate):
    async def main() -> list[float]:
        limiter = Limiter(rate, clock=LoopClock())
        limiter.set_share(range(1), 1)
        await asyncio.sleep(30)  # idle time must not become a burst
        return await passed(limiter, 5)

    stamps = run_jumping(main())
    assert most_in_a_second(stamps) <= rate
    assert len(stamps) >= 5 * rate * 0.9 - 1


@pytest.mark.parametrize(("rate", "workers"), [(10, 4), (100, 3), (7, 7), (250, 4)])
def test_workers_in_step_stay_below_together(rate, workers):
    async def main() -> list[float]:
        limiters = [Limiter(rate, clock=LoopClock()) for _ in range(workers)]
        for limiter in limiters:
            limiter.set_share(range(1), workers)
        each = await asyncio.gather(*(passed(limiter, 6) for limiter in limiters))
        return sorted(stamp for stamps in each for stamp in stamps)

    stamps = run_jumping(main())
    assert most_in_a_second(stamps) <= rate
    assert len(stamps) >= 5 * rate * 0.7


def test_the_shares_of_all_workers_together_stay_below_while_partitions_move():
    async def main() -> list[float]:
        clock = LoopClock()
        first, second = Limiter(100, clock=clock), Limiter(100, clock=clock)
        first.set_share(range(4), 4)

        async def move() -> None:
            for held in (3, 1, 2, 0, 4, 0, 4, 2):
                await asyncio.sleep(1.3)
                first.set_share(range(held), 4)
                second.set_share(range(4 - held), 4)

        stamps, others, _ = await asyncio.gather(passed(first, 12), passed(second, 12), move())
        return sorted(stamps + others)

    stamps = run_jumping(main())
    assert most_in_a_second(stamps) <= 100
    assert len(stamps) > 400  # after each move what changed hands rests for a window


def test_a_share_shrinks_at_once_and_grows_a_window_later():
    async def main() -> None:
        limiter = Limiter(100, clock=LoopClock())
        limiter.set_share(range(1), 4)
        stamps = await passed(limiter, 3)
        assert most_in_a_second(stamps) <= 25
        limiter.set_share(range(4), 4)
        assert len(await passed(limiter, 1)) <= 25
        assert len(await passed(limiter, 1)) > 80
        limiter.set_share(range(1), 4)
        assert len(await passed(limiter, 1)) <= 25
        limiter.set_share(range(0), 4)
        assert await passed(limiter, 5) == []

    run_jumping(main())
