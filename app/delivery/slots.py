"""How many requests may be under way at a vendor account, and how much of its limits it bears just now.

The limits are what the vendor says. Plans differ, and other programs use the same account, so what it really bears is
learned: a request that is turned away halves it, and from then on it grows with time while requests go through.
Times are monotonic seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

PART_MIN = 1 / 64
GROWS_PER_S = 0.01
"""Of the whole, at first. Faster would pass the limit of a vendor that bears no more again every few seconds."""
DOUBLES_S = 10.0
"""So long without being turned away, and it grows twice as fast, thrice after twice as long: from a half back to all in
23 s, from almost nothing in 36 s."""


class Congestion:
    """The part of its limits that a vendor bears: halved at once, grown back ever faster while nothing is wrong."""

    def __init__(self) -> None:
        self.part = 1.0
        """In (0, 1]."""
        self._cut_s = float("-inf")
        self._cut_to = 1.0
        self._grows_s = 0.0

    def throttled(self, *, sent_s: float, now_s: float, after_s: float = 0.0) -> None:
        """A request was turned away. One that was sent before the last cut tells nothing new.

        Args:
            after_s: How long nothing will be sent now; it does not count for growing.
        """
        if sent_s < self._cut_s:
            return
        self.part = self._cut_to = max(PART_MIN, self.part / 2)
        self._cut_s = now_s
        self._grows_s = now_s + after_s

    def went_through(self, *, sent_s: float, now_s: float) -> None:
        """A request was taken."""
        grown_s = now_s - self._grows_s
        if self.part < 1 and sent_s >= self._cut_s and grown_s > 0:
            self.part = min(1.0, self._cut_to + grown_s * GROWS_PER_S * (1 + grown_s / DOUBLES_S / 2))


class Slots:
    """One for each vendor account of a process, shared by the destinations that use it; first come, first served.

    Over several workers each has the part of the slots that it has of the partitions, and at least one: with more
    workers than slots there may be one request for each worker.
    """

    def __init__(self, in_flight_max: int, *, paced: Callable[[float], None] = lambda part: None) -> None:
        """
        Args:
            in_flight_max: Of all workers together.
            paced: Told the part of the rate that the vendor bears, whenever that changes.
        """
        self.in_flight = 0
        self._in_flight_max = in_flight_max
        self._paced = paced
        self._share = 1.0
        self._congestion = Congestion()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._listeners: list[Callable[[float], None]] = []

    @property
    def part(self) -> float:
        """What the vendor bears of its limits just now, in (0, 1]."""
        return self._congestion.part

    @property
    def allowed(self) -> int:
        """Requests at once that may be under way here."""
        return max(1, int(self._in_flight_max * self._share * self.part))

    def listen(self, hold: Callable[[float], None]) -> None:
        """`hold` is told for how many seconds the vendor wants nothing from this account."""
        self._listeners.append(hold)

    def set_share(self, share: float) -> None:
        """Which part of the account's partitions this worker holds."""
        self._share = share
        self._let_in()

    async def take(self) -> None:
        """Wait for a slot; `give_back` when the request is answered."""
        if not self._waiting and self.in_flight < self.allowed:
            self.in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give_back()
            raise

    async def lend(self, wait: Awaitable[None]) -> None:
        """Do without a slot that is held, until the wait is over; whatever comes of it, the slot is held again."""
        self.give_back()
        try:
            await wait
            await self.take()
        except BaseException:
            self.in_flight += 1  # one too many, until whoever holds it gives it back at once
            raise

    def give_back(self) -> None:
        self.in_flight -= 1
        self._let_in()

    def throttled(self, *, sent_s: float, now_s: float, after_s: float | None) -> None:
        """The vendor has turned a request away because there were too many, and asked for a pause or not."""
        self._congestion.throttled(sent_s=sent_s, now_s=now_s, after_s=after_s or 0.0)
        self._paced(self.part)
        if after_s:
            for hold in self._listeners:
                hold(after_s)

    def went_through(self, *, sent_s: float, now_s: float) -> None:
        """The vendor has taken a request."""
        before = self.part
        self._congestion.went_through(sent_s=sent_s, now_s=now_s)
        if self.part != before:
            self._paced(self.part)
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self.in_flight < self.allowed:
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self.in_flight += 1
                turn.set_result(None)
