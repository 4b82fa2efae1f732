"""Payloads that were asked for all at once, by a backfill or a resync: they go when nothing else is there to go."""

from __future__ import annotations

from collections import deque

from app.delivery.progress import Item

BACKLOG_ORIGINS = frozenset({"backfill", "resync"})


class Backlog:
    """First in, first out, but for those that a live payload of their profile takes along."""

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        """Its first one, if any, is still of the backlog; further behind there may be some that were taken along."""
        self._gone = 0
        """How many of `items` were taken along."""

    def __len__(self) -> int:
        return len(self.items) - self._gone

    def append(self, item: Item) -> None:
        item.in_backlog = True
        self.items.append(item)
        item.progress.backlog.setdefault(item.payload.profile, []).append(item)

    def popleft(self) -> Item:
        """The first one; there must be one."""
        item = self.items.popleft()
        item.in_backlog = False
        of_profile = item.progress.backlog[item.payload.profile]
        of_profile.remove(item)
        if not of_profile:
            del item.progress.backlog[item.payload.profile]
        self._skip()
        return item

    def pull(self, live: Item) -> list[Item]:
        """The payloads that have to go before a live one, because they are its profile's and older."""
        pulled = live.progress.backlog.pop(live.payload.profile, [])
        for item in pulled:
            item.in_backlog = False
        self._gone += len(pulled)
        self._skip()
        return pulled

    def drop_revoked(self) -> None:
        """Leave out those of partitions that are another's."""
        self.items = deque(item for item in self.items if item.in_backlog and not item.progress.revoked)
        self._gone = 0

    def _skip(self) -> None:
        while self.items and not self.items[0].in_backlog:
            self.items.popleft()
            self._gone -= 1
