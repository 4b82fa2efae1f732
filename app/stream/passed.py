"""How far time has passed for each partition of users, known to every worker: accounts wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from app.kafka.admin import Admin
from app.topics import Topics

GROUP_SUFFIX = ".time"
"""Behind the stream's group. It has no members; what it has committed in `profiles.in` are no offsets but instants."""


class Passed:
    """Instants, ms since 1970, by partition of `profiles.in`: up to each, inclusive, all is applied and passed on.

    Other workers learn them by way of the broker, as the offsets of a group of their own: that is one small request,
    the newest value stays, and a partition that changes hands keeps what it had reached.

    Args:
        group: The stream's.
        others_ask: Whether there are partitions of accounts that are not this worker's.
    """

    def __init__(
        self, topics: Topics, partitions: int, admin: Admin, group: str, others_ask: Callable[[], bool]
    ) -> None:
        self._topic = topics.profiles_in
        self._partitions = partitions
        self._admin = admin
        self._group = group + GROUP_SUFFIX
        self._others_ask = others_ask
        self._own: Mapping[int, int] = {}
        self._told: Mapping[int, int] = {}
        self._moved = asyncio.Event()

    def reached(self, own: Mapping[int, int]) -> None:
        """How far this worker's partitions are."""
        self._own = own
        self._moved.set()

    async def moved(self, within_s: float) -> None:
        """Return when this worker's partitions have been looked at once more, or after a while at the latest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._moved.wait()
        self._moved.clear()

    async def tell(self) -> None:
        """Tell the other workers, where they ask."""
        if not self._others_ask():
            return
        news = {partition: at_ms for partition, at_ms in self._own.items() if at_ms > self._told.get(partition, 0)}
        if news:
            self._told = {**self._own}
            await self._admin.commit(self._group, {(self._topic, p): at_ms for p, at_ms in news.items()})

    async def all(self) -> list[int]:
        """Of every partition, 0 where nobody knows."""
        others = [(self._topic, p) for p in range(self._partitions) if p not in self._own]
        told = await self._admin.committed(self._group, others) if others else {}
        return [*self._own.values(), *(told[place] or 0 for place in others)]
