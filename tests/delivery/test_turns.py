"""Who is next: what is live first, nobody for ever last, and nobody who has gone."""

from __future__ import annotations

import asyncio

from app.delivery.turns import PASSED_MAX, Turns
from tests.delivery.jumping import run_jumping


def test_live_first_first_come_first_served_and_a_tenth_for_the_rest():
    async def main() -> list[str]:
        turns, had = Turns(), []

        async def one(name: str, urgent: bool) -> None:
            async with turns.next(urgent=urgent):
                had.append(name)
                await asyncio.sleep(1)

        names = [("first", True), *((f"list {n}", False) for n in range(2)), *((f"live {n}", True) for n in range(15))]
        await asyncio.gather(*(one(*name) for name in names))
        return had

    had = run_jumping(main())
    assert had[: PASSED_MAX + 2] == ["first", *(f"live {n}" for n in range(PASSED_MAX)), "list 0"]
    assert had[PASSED_MAX + 2 :] == [*(f"live {n}" for n in range(PASSED_MAX, 15)), "list 1"]


def test_a_turn_of_somebody_who_goes_is_the_next_ones():
    async def main() -> list[int]:
        turns, had = Turns(), []

        async def one(name: int) -> None:
            async with turns.next(urgent=True):
                had.append(name)
                await asyncio.sleep(1)

        tasks = [asyncio.ensure_future(one(n)) for n in range(5)]
        await asyncio.sleep(0.5)
        tasks[1].cancel()  # it waits
        tasks[0].cancel()  # it has its turn
        await asyncio.sleep(0)
        tasks[2].cancel()  # it has just been given one
        await asyncio.gather(*tasks, return_exceptions=True)
        async with turns.next(urgent=False):
            return had

    assert run_jumping(main()) == [0, 3, 4]
