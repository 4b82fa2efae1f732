"""What waits in a lane, and who goes next. Times are monotonic seconds.

    add → fresh, backlog ─► together ─► under way ─► done: the profile's next one is free
             │ profile held               │ park ─► due (by time) ─► together
             ▼                            │
           behind its profile ◄───────────┘

Order: at most one payload of a profile is on its way, from its first try until it is settled; the later ones wait
behind it. Live payloads go first, then retries, then what a backfill or a resync sends again; a live one takes its
profile's backlog along, before it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count

from app.activation.payload import Payload
from app.delivery.backlog import BACKLOG_ORIGINS, Backlog
from app.delivery.progress import Item, Progress

ASIDE_MAX = 1_000
"""How many payloads are passed over while one batch is filled."""


class Line:
    """See the module."""

    def __init__(self) -> None:
        self._fresh: deque[Item] = deque()
        self._backlog = Backlog()
        self._freed: deque[Item] = deque()
        """Items whose profile is held for them; they go first."""
        self._due: list[tuple[float, int, Item]] = []
        """Heap of (when, ordinal, item)."""
        self._ordinal = count()

    def add(self, item: Item) -> None:
        """One that was just taken, in the order of its partition."""
        if item.payload.origin in BACKLOG_ORIGINS:
            self._backlog.append(item)
            return
        self._fresh.extend(self._backlog.pull(item))
        self._fresh.append(item)

    def drop_revoked(self) -> None:
        """Leave out those of partitions that are another's."""
        self._fresh = deque(item for item in self._fresh if not item.progress.revoked)
        self._freed = deque(item for item in self._freed if not item.progress.revoked)
        self._backlog.drop_revoked()
        self._due = [entry for entry in self._due if not entry[2].progress.revoked]
        heapq.heapify(self._due)

    # how much waits

    @property
    def untried(self) -> int:
        """Those that wait for nothing but their turn, the backlog left out."""
        return len(self._fresh) + len(self._freed)

    @property
    def backlog(self) -> int:
        return len(self._backlog)

    @property
    def parked(self) -> int:
        """Those that wait for a moment; not those behind them."""
        return len(self._due)

    @property
    def urgent(self) -> bool:
        """Whether more waits than a backlog."""
        return bool(self._fresh or self._freed or self._due)

    @property
    def wake_s(self) -> float | None:
        """The moment from which `ready` may be true, if nothing happens before; None: something has to happen."""
        if self._fresh or self._freed or self._backlog.items:
            return 0.0
        return self._due[0][0] if self._due else None

    # who goes

    def ready(self, now_s: float) -> bool:
        """Whether there is somebody."""
        self._sort(self._fresh)
        return bool(self._freed or self._fresh or self._is_due(now_s) or self._first_of_backlog())

    def together(self, now_s: float, *, items_max: int, bytes_max: int) -> list[Item]:
        """Items that may share a request; those that were looked at and may not are the next ones."""
        items: list[Item] = []
        keys: set[str] = set()
        aside: list[Item] = []
        while len(items) < items_max and len(aside) < ASIDE_MAX and (item := self._pop(now_s)) is not None:
            items_max = min(items_max, item.group_max or items_max)
            full = len(items) >= items_max or len(item.value) > bytes_max
            if items and (full or item.place.group != items[0].place.group or item.place.key in keys):
                aside.append(item)
                if full:
                    break
                continue
            bytes_max -= len(item.value)
            keys.add(item.place.key)
            items.append(item)
        self._freed.extendleft(reversed(aside))
        return items

    def park(self, item: Item, due_s: float) -> None:
        """It is tried again at that moment; its profile goes on waiting for it."""
        heapq.heappush(self._due, (due_s, next(self._ordinal), item))

    def done(self, item: Item) -> None:
        """It is settled, and so the next one of its profile may go."""
        progress, profile = item.progress, item.payload.profile
        waiting = progress.held[profile]
        if waiting:
            self._freed.append(waiting.popleft())
            progress.behind -= 1
        else:
            del progress.held[profile]
        progress.settle(item.offset)

    def drop(self, partitions: Iterable[Progress], is_void: Callable[[Payload], bool]) -> list[Payload]:
        """Settle what waits here and is void; gives what that was."""
        dropped: list[Payload] = []
        for progress in partitions:
            for waiting in progress.held.values():
                for item in [each for each in waiting if is_void(each.payload)]:
                    waiting.remove(item)
                    progress.behind -= 1
                    progress.settle(item.offset)
                    dropped.append(item.payload)
        for item in [each for each in self._fresh if is_void(each.payload)]:
            self._fresh.remove(item)
            item.progress.settle(item.offset)
            dropped.append(item.payload)
        for item in [each for each in self._freed if is_void(each.payload)]:
            self._freed.remove(item)
            self.done(item)
            dropped.append(item.payload)
        void = [item for _, _, item in self._due if is_void(item.payload)]
        self._due = [entry for entry in self._due if not is_void(entry[2].payload)]
        heapq.heapify(self._due)
        for item in void:
            self.done(item)
        return dropped + [item.payload for item in void]

    def _sort(self, queue: deque[Item]) -> None:
        """Let the first be one that may go; those of held profiles go behind them."""
        while queue:
            item = queue[0]
            waiting = item.progress.held.get(item.payload.profile)
            if waiting is None:
                return
            waiting.append(self._first(queue))
            item.progress.behind += 1

    def _pop(self, now_s: float) -> Item | None:
        if self._freed:
            return self._freed.popleft()
        self._sort(self._fresh)
        if not self._fresh and self._is_due(now_s):
            return heapq.heappop(self._due)[2]
        queue = self._fresh or self._first_of_backlog()
        if not queue:
            return None
        item = self._first(queue)
        item.progress.held[item.payload.profile] = deque()
        return item

    def _first_of_backlog(self) -> deque[Item]:
        """Asked for when nothing is fresh: else one of it could get behind its profile before an older, live one."""
        self._sort(self._backlog.items)
        return self._backlog.items

    def _first(self, queue: deque[Item]) -> Item:
        return self._backlog.popleft() if queue is self._backlog.items else queue.popleft()

    def _is_due(self, now_s: float) -> bool:
        return bool(self._due) and self._due[0][0] <= now_s
