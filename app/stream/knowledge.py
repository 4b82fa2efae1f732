"""What each partition of `events.raw` knows of identity: from those who restore it, to those who resolve by it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from app.kafka.admin import Admin
from app.stages.assignments import Assignments
from app.stream.engines import ResolveEngine
from app.stream.lane import Lane
from app.topics import Topics
from app.transport.batches import TP

POLL_S = 0.1
"""How often others' progress is asked for, while something waits for it."""


class Knowledge:
    """By partition.

    Args:
        lane: This worker's lane of a partition of any topic, if there is one.
        group: The consumer group, by whose commits others' progress is known.
    """

    def __init__(self, topics: Topics, admin: Admin, group: str, lane: Callable[[TP], Lane | None]) -> None:
        self._topics = topics
        self._admin = admin
        self._group = group
        self._lane = lane
        self._known: defaultdict[int, asyncio.Future[Assignments]] = defaultdict(asyncio.Future)
        self.resolvers: dict[int, ResolveEngine] = {}

    def renew(self, partition: int) -> None:
        """It is restored anew: what is known was an earlier lane's, whose store is closed."""
        if self._known[partition].done():
            del self._known[partition]

    def tell(self, partition: int, known: Assignments) -> None:
        """It is restored; perhaps not for the first time, where the store had to be mended."""
        if self._known[partition].done():
            del self._known[partition]
            self.resolvers[partition].know(known)
        self._known[partition].set_result(known)

    def told(self, partition: int) -> None:
        """More is known there: whoever waits for it looks again."""
        resolver = self.resolvers.get(partition)
        if resolver is not None:
            resolver.told()

    async def whole(self, partition: int) -> Assignments:
        """What a partition knows, with the answers to all that it has asked so far.

        A resolver that begins anew does not know what it waits for. A message that it took for known would overtake
        an earlier one that is still with the linker.
        """
        links, told = (self._topics.identity_links, 0), (self._topics.identity_assignments, partition)
        await self._reached(links, (await self._admin.end_offsets([links]))[links])
        known = await self._known[partition]
        await self._reached(told, (await self._admin.end_offsets([told]))[told])
        return known

    async def _reached(self, place: tuple[str, int], offset: int) -> None:
        """Return once a partition has been worked off up to an offset, by whomever."""
        while True:
            lane = self._lane(TP(*place))
            done = lane.done_next if lane is not None else (await self._admin.committed(self._group, [place]))[place]
            if (done or 0) >= offset:
                return
            await asyncio.sleep(POLL_S)
