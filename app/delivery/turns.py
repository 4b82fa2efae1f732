"""Who of those that share a rate is next: what is live before what can wait, but nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PASSED_MAX = 9
"""How often one who can wait is passed over in a row: a tenth of the rate is theirs, whatever else there is."""


class Turns:
    """One at a time; among those of a kind first come, first served."""

    def __init__(self) -> None:
        self._taken = False
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._patient: deque[asyncio.Future[None]] = deque()
        self._passed = 0

    @asynccontextmanager
    async def next(self, *, urgent: bool) -> AsyncIterator[None]:
        """`async with turns.next(urgent=…)`: the block is the turn."""
        await self._wait(self._urgent if urgent else self._patient)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        if not self._taken:
            self._taken = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given to one who goes
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while queue := self._queue():
            turn = queue.popleft()
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._taken = False

    def _queue(self) -> deque[asyncio.Future[None]]:
        """Where the next one stands; empty: nobody waits."""
        if not self._patient or (self._urgent and self._passed < PASSED_MAX):
            self._passed += bool(self._patient)
            return self._urgent
        self._passed = 0
        return self._patient
