"""Topic → senders: each partition of a destination feeds its lane, and waits where the lane is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from app.delivery.work import Record
from app.stages.records import InRecord
from app.transport.batches import TP, Batch

WAITING_RECORDS_MAX = 4_000
"""Records of one partition that wait for their lane, from which on the partition is not fetched."""


class Receiver(Protocol):
    """What takes a topic's records: a sender, or the lane of lists."""

    async def take(self, partition: int, records: Sequence[Record]) -> None: ...
    def assign(self, partition: int, next_offset: int) -> None: ...
    def revoke(self, partition: int) -> None: ...
    def committable(self, partition: int) -> int | None: ...
    async def suspend(self) -> None:
        """End what must not go on when the topic's partitions may be another's."""
        ...


class Feed:
    """One partition's way to its sender.

    Args:
        hold: Called with True when the partition must not be fetched for now, and with False when it may be again.
    """

    def __init__(self, tp: TP, sender: Receiver, hold: Callable[[bool], None]) -> None:
        self.tp = tp
        self.sender = sender
        self._hold = hold
        self._queue: deque[Sequence[InRecord]] = deque()
        self._waiting = 0
        self._held = False
        self._wake = asyncio.Event()
        self._assigned = False
        self._task = asyncio.create_task(self._run(), name=f"feed {tp.topic}-{tp.partition}")

    def offer(self, records: Sequence[InRecord]) -> None:
        """Take over records; the first ones say from where on the partition is ours."""
        if not self._assigned:
            self._assigned = True
            self.sender.assign(self.tp.partition, records[0].offset)
        self._queue.append(records)
        self._waiting += len(records)
        if not self._held and self._waiting >= WAITING_RECORDS_MAX:
            self._held = True
            self._hold(True)
        self._wake.set()

    def committable(self) -> int | None:
        """The offset below which every payload is settled."""
        return self.sender.committable(self.tp.partition) if self._assigned else None

    @property
    def waiting(self) -> int:
        """Records that the lane has not taken yet."""
        return self._waiting

    def close(self) -> None:
        """The partition goes: what is not settled is read again by its next owner."""
        self._task.cancel()
        if self._assigned:
            self.sender.revoke(self.tp.partition)

    async def _run(self) -> None:
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            records = self._queue.popleft()
            await self.sender.take(self.tp.partition, [Record(each.offset, each.key, each.value) for each in records])
            self._waiting -= len(records)
            if self._held and self._waiting <= WAITING_RECORDS_MAX // 2:
                self._held = False
                self._hold(False)


class Feeds:
    """All feeds of a worker, as the transport sees them.

    Args:
        senders: By topic.
        hold: Called with a partition and whether it must not be fetched.
        shared: Told, after each assignment, how many partitions of each topic are held here.
    """

    def __init__(
        self,
        senders: Mapping[str, Receiver],
        hold: Callable[[TP, bool], None],
        shared: Callable[[Mapping[str, int]], None],
    ) -> None:
        self._senders = senders
        self._hold = hold
        self._shared = shared
        self._feeds: dict[TP, Feed] = {}

    def offer(self, batch: Batch) -> None:
        """Hand a batch to its partition's feed."""
        feed = self._feeds.get(batch.tp)
        if feed is not None:
            feed.offer(batch.records)

    def committable(self) -> Mapping[TP, int]:
        found = {tp: feed.committable() for tp, feed in self._feeds.items()}
        return {tp: offset for tp, offset in found.items() if offset is not None}

    async def checkpoint(self, revoked: Iterable[TP]) -> None:
        """Nothing for senders: what is not settled is sent again by the next owner. Lists have one writer at a time."""
        topics = {tp.topic for tp in revoked}
        await asyncio.gather(*(self._senders[topic].suspend() for topic in topics if topic in self._senders))

    def assigned(self, partitions: Iterable[TP], generation: int) -> None:
        """Every assignment starts over from what is committed: requests in flight may be repeated, none is lost."""
        wanted = {tp for tp in partitions if tp.topic in self._senders}
        self.close()
        self._feeds = {
            tp: Feed(tp, self._senders[tp.topic], lambda full, tp=tp: self._hold(tp, full))  # type: ignore[misc]
            for tp in sorted(wanted)
        }
        self._shared({topic: sum(tp.topic == topic for tp in wanted) for topic in self._senders})

    def waiting(self, topic: str) -> int:
        """A topic's records that its lane has not taken yet."""
        return sum(feed.waiting for tp, feed in self._feeds.items() if tp.topic == topic)

    def close(self) -> None:
        """Stop feeding."""
        for feed in self._feeds.values():
            feed.close()
