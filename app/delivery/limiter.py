"""This worker's share of a destination's rate, evenly paced."""

import asyncio
from collections.abc import Collection

from aiolimiter import AsyncLimiter

from app.clock import Clock

IN_HAND = 0.05
"""Part of the rate that is never used: the network bunches what was sent evenly."""
BURST_S = 0.02
"""How much of the pace may be caught up on after a late timer. Without it the loop's millisecond steps would cost a
fast lane a third of its rate; with the whole rate as a burst, 199 of "100 per second" pass in one second."""
STEP = 0.1
"""By how much a part must have grown to be another pace: each new pace begins with a wait."""


class Limiter:
    """At most the share's requests in any second, over all workers together.

    A share shrinks at once and grows one window later: by then whoever held it before has shrunk.
    """

    def __init__(self, rate_per_s: float, *, clock: Clock, grow_after_s: float = 1.0) -> None:
        """`rate_per_s` is that of all workers together. It starts with a share of nothing."""
        self._rate_per_s = rate_per_s
        self._clock = clock
        self._grow_after_s = grow_after_s
        self._share = 0.0
        self._wanted = 0.0
        self._grows_s = 0.0
        self._part = 1.0
        self._pace: AsyncLimiter | None = None
        self._changed = asyncio.Event()

    def set_share(self, held: Collection[int], places: int) -> None:
        """Which of the partitions this worker has."""
        self._wanted = len(held) / places
        if self._wanted < self._share:
            self._share = self._wanted
            self._pace = None
        elif self._wanted > self._share:
            self._grows_s = self._clock.monotonic_s() + self._grow_after_s
        self._changed.set()

    def set_part(self, part: float) -> None:
        """Which part of the rate the vendor bears just now; it shrinks at once and grows in steps."""
        grown = part >= self._part * (1 + STEP) or (part == 1.0 and self._part < 1.0)
        if part < self._part or grown:
            self._part = part
            self._pace = None
            self._changed.set()

    @property
    def pace_per_s(self) -> float:
        """What this worker may send by now."""
        return self._rate_per_s * self._share * self._part

    async def acquire(self) -> None:
        """Wait for the turn of one request. For one caller at a time."""
        while True:
            pace = await self._current()
            await pace.acquire()
            if pace is self._pace:
                return

    async def _current(self) -> AsyncLimiter:
        while True:
            self._changed.clear()
            wait_s = self._grows_s - self._clock.monotonic_s()
            if self._wanted > self._share and wait_s <= 0:
                self._share = self._wanted
                self._pace = None
            if self._share > 0:
                return self._pace or await self._new_pace()
            try:
                async with asyncio.timeout(wait_s if self._wanted > 0 else None):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _new_pace(self) -> AsyncLimiter:
        share_per_s = self.pace_per_s
        burst = 1 + int(share_per_s * BURST_S)
        pace_per_s = share_per_s * (1 - IN_HAND)
        if share_per_s >= 1:
            # A pace of 2.4 a second puts three into some seconds; where four workers do that at once, 10 become 12.
            pace_per_s = min(pace_per_s, int(share_per_s) - burst + 1)
        self._pace = AsyncLimiter(burst, burst / pace_per_s)
        await self._pace.acquire(burst)  # begins empty, else every change of the share would allow a burst
        return self._pace
