"""A rate that is too slow to be shared out: each partition has its own moments, by the clock on the wall.

Where every worker kept a share of its own, those of less than one request a second would meet in some seconds. So time
is cut into equal slots, and slot n belongs to place n mod places: whoever holds a place may send one request when
its slot begins. Nobody has to agree with anybody, and a partition takes its slots along when it moves.

A slot that was missed is another's time already. But a machine that is late all the time must not stand still: with
each slot that it misses in a row it may be twice as late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from math import floor, inf

from app.clock import Clock

IN_HAND = 0.1
"""Part of the rate that is never used: half of it for late timers, the rest for clocks that differ and the network."""
ALL_BUT = 1e-6
"""How far a sum of parts may be from a whole one."""


class Timetable:
    """At most the rate's requests in any second; below one a second, at most one in the time that one takes."""

    def __init__(self, rate_per_s: float, *, clock: Clock, grow_after_s: float = 1.0) -> None:
        """`rate_per_s` is that of all workers together. It starts with no place."""
        whole_per_s = floor(rate_per_s) if rate_per_s >= 1 else rate_per_s
        self._slot_s = 1 / whole_per_s / (1 - IN_HAND)
        self._on_time_s = self._late_s_max = max(1.0, 1 / whole_per_s) * IN_HAND / 2
        self._clock = clock
        self._grow_after_s = grow_after_s
        self._places = 1
        self._since: dict[int, float] = {}
        """Held place → from when on its slots may be used, monotonic."""
        self._part = 1.0
        self._credit = 0.0
        """Of the next request, what the slots that were let pass have paid."""
        self._used = -1
        """The last slot that was looked at."""
        self._changed = asyncio.Event()

    def set_share(self, held: Collection[int], places: int) -> None:
        """Which of the places this worker has."""
        since_s = self._clock.monotonic_s() + self._grow_after_s
        same = places == self._places
        self._since = {place: self._since.get(place, since_s) if same else since_s for place in held}
        self._places = places
        self._changed.set()

    def set_part(self, part: float) -> None:
        """Which part of the rate the vendor bears just now."""
        self._part = part

    @property
    def pace_per_s(self) -> float:
        """What this worker may send by now."""
        return len(self._since) / self._places / self._slot_s * self._part

    async def acquire(self) -> None:
        """Wait for the turn of one request. For one caller at a time."""
        waited_for: int | None = None
        while True:
            self._changed.clear()
            slot, wait_s = self._next()
            if waited_for is not None and slot > waited_for:
                self._late_s_max = min(2 * self._late_s_max, self._slot_s * self._places)
            waited_for = None
            if wait_s <= 0:
                self._use(slot, -wait_s)
                self._credit += self._part
                if self._credit >= 1 - ALL_BUT:
                    self._credit = 0.0
                    return
                continue
            try:
                async with asyncio.timeout(wait_s if wait_s < inf else None):
                    await self._changed.wait()
            except TimeoutError:
                waited_for = slot

    def _use(self, slot: int, late_s: float) -> None:
        """The slot's time has come, and with it that of all before it."""
        self._used = slot + floor(late_s / self._slot_s)
        if late_s <= self._on_time_s:
            self._late_s_max = self._on_time_s

    def _next(self) -> tuple[int, float]:
        """The next slot of ours, and how long until it begins, in seconds; not above 0: now. Without a place inf."""
        now_s, monotonic_s = self._clock.now_ms() / 1000, self._clock.monotonic_s()
        first = floor((now_s - self._late_s_max) / self._slot_s) + 1
        if self._used > first + self._places:  # the clock was set back: what it says now is what counts
            self._used = first
        first = max(first, self._used + 1)
        best, best_s = 0, inf
        for place, since_s in self._since.items():
            usable = max(first, floor((now_s + since_s - monotonic_s) / self._slot_s) + 1)
            slot = usable + (place - usable) % self._places
            wait_s = slot * self._slot_s - now_s
            if wait_s < best_s:
                best, best_s = slot, wait_s
        return best, best_s
