"""Topic → senders: each partition of a destination feeds its lane, and waits where the lane is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from app.delivery.work import Record
from app.stages.records import InRecord
from app.transport.batches import TP, Batch, Committable

Notes = Callable[[Sequence[TP]], Awaitable[Mapping[TP, str]]]
"""Partitions → what their last owners have noted beside what they committed."""
WAITING_RECORDS_MAX = 4_000
"""Records of one partition that wait for their lane, from which on the partition is not fetched."""


class Receiver(Protocol):
    """What takes a topic's records: a sender, or the lane of lists."""

    async def take(self, partition: int, records: Sequence[Record]) -> None: ...
    def assign(self, partition: int, next_offset: int, note: str = "") -> None: ...
    def revoke(self, partition: int) -> None: ...
    def committable(self, partition: int) -> int | None: ...
    def note(self, partition: int) -> str: ...
    def go_on(self) -> None: ...
    async def suspend(self) -> None:
        """End what must not go on when the topic's partitions may be another's."""
        ...


class Feed:
    """One partition's way to its sender.

    Args:
        hold: Called with True when the partition must not be fetched for now, and with False when it may be again.
        notes: What the last owners have noted; several wait for the same.
    """

    def __init__(
        self, tp: TP, sender: Receiver, hold: Callable[[bool], None], notes: asyncio.Future[Mapping[TP, str]]
    ) -> None:
        self.tp = tp
        self.sender = sender
        self._hold = hold
        self._notes = notes
        self._queue: deque[Sequence[InRecord]] = deque()
        self._waiting = 0
        self._held = False
        self._wake = asyncio.Event()
        self._assigned = False
        self._task = asyncio.create_task(self._run(), name=f"feed {tp.topic}-{tp.partition}")

    def offer(self, records: Sequence[InRecord]) -> None:
        """Take over records; the first ones say from where on the partition is ours."""
        self._queue.append(records)
        self._waiting += len(records)
        if not self._held and self._waiting >= WAITING_RECORDS_MAX:
            self._held = True
            self._hold(True)
        self._wake.set()

    def committable(self) -> Committable | None:
        """The offset below which every payload is settled, with a note of what is behind it."""
        offset = self.sender.committable(self.tp.partition) if self._assigned else None
        return None if offset is None else Committable(offset, self.sender.note(self.tp.partition))

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
            if not self._assigned:
                note = (await asyncio.shield(self._notes)).get(self.tp, "")
                self._assigned = True
                self.sender.assign(self.tp.partition, records[0].offset, note)
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
        shared: Told, after each assignment, which partitions of each topic are held here.
        notes: Reads them; must not raise.
    """

    def __init__(
        self,
        senders: Mapping[str, Receiver],
        hold: Callable[[TP, bool], None],
        shared: Callable[[Mapping[str, frozenset[int]]], None],
        notes: Notes,
    ) -> None:
        self._senders = senders
        self._read_notes = notes
        self._notes: asyncio.Future[Mapping[TP, str]] | None = None
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
        """Begin nothing more: senders let what is under way end, for a short while, and what has not by then is sent
        again by the next owner; lists have one writer at a time."""
        topics = {tp.topic for tp in revoked}
        await asyncio.gather(*(self._senders[topic].suspend() for topic in topics if topic in self._senders))

    def assigned(self, partitions: Iterable[TP], generation: int) -> None:
        """Every assignment starts over from what is committed: requests in flight may be repeated, none is lost."""
        wanted = {tp for tp in partitions if tp.topic in self._senders}
        self.close()
        self._notes = notes = asyncio.ensure_future(self._read_notes(sorted(wanted)))
        self._feeds = {
            tp: Feed(tp, self._senders[tp.topic], lambda full, tp=tp: self._hold(tp, full), notes)  # type: ignore[misc]
            for tp in sorted(wanted)
        }
        for sender in self._senders.values():
            sender.go_on()
        held = {topic: frozenset(tp.partition for tp in wanted if tp.topic == topic) for topic in self._senders}
        self._shared(held)

    def waiting(self, topic: str) -> int:
        """A topic's records that its lane has not taken yet."""
        return sum(feed.waiting for tp, feed in self._feeds.items() if tp.topic == topic)

    def close(self) -> None:
        """Stop feeding."""
        for feed in self._feeds.values():
            feed.close()
        if self._notes is not None:
            self._notes.cancel()
