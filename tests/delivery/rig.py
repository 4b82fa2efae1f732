"""A sender with a world around it: the caller's clock and vendor, an in-memory topic for the dead."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from app.activation.destination import Configured
from app.activation.outcome import Failure
from app.clock import Clock
from app.delivery.lane import Lane
from app.delivery.sender import Deliver, Sender, Surroundings
from app.delivery.slots import Slots
from app.delivery.work import Fact, LaneSettings, Settled, StateChanged
from app.topics import Topics


async def at_once() -> None:
    """A rate without limit."""


class Rig:
    """`sender`, and what came out of it."""

    def __init__(
        self,
        configured: Configured,
        deliver: Deliver,
        *,
        clock: Clock,
        settings: LaneSettings,
        turn: Callable[[], Awaitable[None]] = at_once,
        seed: int = 1,
        name: str = "crm",
        account: Slots | None = None,
    ) -> None:
        self.facts: list[Fact] = []
        self.dead: list[tuple[str, bytes | None, dict[str, Any], dict[str, bytes]]] = []
        self.failpoints: list[str] = []
        self.ack: Callable[[], Awaitable[None]] = at_once
        self.may_send = True
        self._changed = asyncio.Event()
        self.lane = Lane(configured, settings, jitter=random.Random(seed).random, observe=self._observe)
        around = Surroundings(
            clock=clock,
            sleep=asyncio.sleep,
            deliver=deliver,
            publish=self._publish,
            turn=turn,
            may_send=lambda: self.may_send,
            failpoint=self.failpoints.append,
        )
        self.sender = Sender(name, configured, self.lane, around, topics=Topics(), account=account)

    def count(self, outcome: str) -> int:
        return sum(isinstance(fact, Settled) and fact.outcome == outcome for fact in self.facts)

    def states(self) -> list[str]:
        return [fact.state.value for fact in self.facts if isinstance(fact, StateChanged)]

    async def until(self, met: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        """Wait until the facts are as wanted."""
        async with asyncio.timeout(timeout_s):
            while not met():
                self._changed.clear()
                await self._changed.wait()

    async def settled(self, partition: int, offset: int, *, timeout_s: float = 60.0) -> None:
        """Wait until everything below the offset is settled."""
        await self.until(lambda: self.sender.committable(partition) == offset, timeout_s=timeout_s)

    def _observe(self, fact: Fact) -> None:
        self.facts.append(fact)
        # The lane tells before it has finished settling.
        asyncio.get_running_loop().call_soon(self._changed.set)

    async def _publish(self, topic: str, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        await self.ack()
        self.dead.append((topic, key, orjson.loads(value), dict(headers)))


@asynccontextmanager
async def running(*rigs: Rig) -> AsyncIterator[None]:
    """The senders' loops run inside; they stop cleanly at its end."""
    tasks = [asyncio.ensure_future(rig.sender.run()) for rig in rigs]
    try:
        yield
        for rig in rigs:
            rig.sender.stop()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def unreachable(request: object, timeout_s: float) -> Failure:
    raise AssertionError("nothing should have been sent")
