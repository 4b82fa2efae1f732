"""A list destination's table with its changelog: opened and restored, and each step written in the order that is safe.

    1 changelog  append the step; await the ack → offset L
    2 table      one atomic write, with L
    3 whatever relies on it: the request that was announced, the source's offset

After a crash between 1 and 2 the table is brought up to L from the changelog, so 3 never relies on what is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.activation.lists.draft import Draft, Table, restored
from app.clock import Clock
from app.errors import HeadwaterError, StateError, StateErrorReason
from app.kafka.admin import Admin
from app.kafka.consumer import BulkRead, BulkReader
from app.kafka.producer import Producer
from app.observability import logs
from app.settings import Security
from app.table.store import TableStore, quarantine

log = logs.get("lists")

TOMBSTONES_KEPT_MS = 86_400_000
"""A table that was last written longer ago may have missed deletions (Kafka's default `delete.retention.ms`)."""

KeyValue = tuple[bytes | None, bytes | None]


class TableBroken(HeadwaterError):
    """A step was interrupted, or the table is closed; it has to be opened anew."""

    def __init__(self) -> None:
        super().__init__("the table was closed, or a step was interrupted")


@dataclass(frozen=True, slots=True)
class LogState:
    """What the broker says of a changelog."""

    id: str
    """Another one after the topic was made anew."""
    start: int
    end: int
    """The offset that the next record gets."""


class ChangeLog(Protocol):
    """One destination's changelog."""

    async def state(self) -> LogState: ...

    def read(self, start: int, end: int) -> AsyncIterator[tuple[Sequence[KeyValue], int]]:
        """Records in order, some at a time, with the offset of the last."""
        ...

    async def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> int:
        """Append in order; gives the offset of the last record once all are acknowledged."""
        ...


class Store(Table, Protocol):
    """What a table is kept in; see `TableStore`."""

    def write(self, writes: Mapping[bytes, bytes | None], offset: int, at_ms: int) -> None: ...
    def close(self) -> None: ...


class KafkaChangeLog:
    """A changelog topic of one partition."""

    def __init__(self, brokers: str, security: Security, producer: Producer, topic: str) -> None:
        self._brokers = brokers
        self._security = security
        self._producer = producer
        self._topic = topic

    async def state(self) -> LogState:
        place = (self._topic, 0)
        async with Admin(self._brokers, self._security) as admin:
            id_ = (await admin.describe([self._topic]))[self._topic].topic_id
            start, end = await admin.beginning_offsets([place]), await admin.end_offsets([place])
        return LogState(id_, start[place], end[place])

    async def read(self, start: int, end: int) -> AsyncIterator[tuple[Sequence[KeyValue], int]]:
        reader = BulkReader(self._brokers, self._security)
        async for records in reader.read(BulkRead(self._topic, 0, start, end)):
            yield [(each.key, each.value) for each in records], records[-1].offset

    async def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> int:
        _, last = await self._producer.append(self._topic, 0, records)
        return last


class ListTable:
    """An open table; one step at a time.

    Args:
        mine: Raises StateError where this worker may have lost the destination without knowing.
    """

    def __init__(self, store: Store, changelog: ChangeLog, clock: Clock, mine: Callable[[], None]) -> None:
        self.step = asyncio.Lock()
        """Held from the first read of a step until it is written."""
        self.broken = False
        """Whether a step was interrupted: the changelog may have what the table has not. Not while one is written:
        who reads without the lock finds the table as it was before."""
        self._store = store
        self._log = changelog
        self._clock = clock
        self._mine = mine

    def draft(self) -> Draft:
        """A new step. Raises TableBroken."""
        if self.broken:
            raise TableBroken
        return Draft(self._store)

    async def commit(self, draft: Draft) -> None:
        """Write a step.

        Raises:
            HeadwaterError: It was not written, or nobody knows; the table has to be opened anew.
        """
        assert self.step.locked(), "a step is read and written under its lock"
        if self.broken:
            raise TableBroken
        if not draft.writes:
            return
        self._mine()
        try:
            offset = await self._log.append(draft.changelog)
            self._store.write(draft.writes, offset, self._clock.now_ms())
        except BaseException:
            self.broken = True
            raise

    def close(self) -> None:
        """Nobody can begin a step any more."""
        self.broken = True
        self._store.close()


async def open_table(directory: Path, changelog: ChangeLog, clock: Clock, mine: Callable[[], None]) -> ListTable:
    """The table as its changelog says, whatever is left of it on disk.

    Raises:
        StateError: DIRECTORY_LOCKED, CHANGELOG_LOST.
        HeadwaterError: no broker answers, or the changelog cannot be read.
    """
    store = await asyncio.to_thread(_opened, directory, clock)
    try:
        await _restore(store, changelog, clock)
    except BaseException:
        store.close()
        raise
    return ListTable(store, changelog, clock, mine)


def _opened(directory: Path, clock: Clock) -> TableStore:
    try:
        return TableStore(directory)
    except StateError as error:
        if error.reason is not StateErrorReason.CORRUPT:
            raise
        kept = quarantine(directory, clock.now_ms())
        log.error("a table is damaged and is filled anew from its changelog", directory=str(kept), error=str(error))
        return TableStore(directory)


async def _restore(store: TableStore, changelog: ChangeLog, clock: Clock) -> None:
    state = await changelog.state()
    offset, at_ms = store.stands_for()
    if store.log() and (store.log() != state.id or offset >= state.end):
        raise StateError(
            0,
            StateErrorReason.CHANGELOG_LOST,
            "the table holds what its changelog no longer has: that was deleted or cut. Bring it back; or delete "
            f"{store.directory}, after which nobody knows whom the vendors' lists have from here",
        )
    behind = offset + 1 < state.end
    too_old = behind and clock.now_ms() - at_ms > TOMBSTONES_KEPT_MS
    if not store.log() or offset + 1 < state.start or too_old:
        store.start(state.id)
        offset = -1
    position = max(offset + 1, state.start)
    if position >= state.end:
        return
    async for records, last in changelog.read(position, state.end):
        await asyncio.to_thread(store.write, restored(records), last, clock.now_ms())
    log.info("restored", directory=store.directory.name, records_to=state.end)
