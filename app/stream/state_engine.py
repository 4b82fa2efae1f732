"""A stage with state: the store, its restore, and what to do when it is damaged."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.clock import Clock
from app.errors import StateError, StateErrorReason
from app.observability import logs
from app.profiles.codec import CorruptProfile
from app.stages.overlay import Overlay
from app.stages.records import InRecord, Work
from app.stream.ports import StreamPorts
from app.stream.restore import Restore, Restored
from app.stream.store import PartitionStore, StoreShare, quarantine

log = logs.get("store")


@dataclass(frozen=True, slots=True)
class Home:
    """Where a stage's state lives, and who is told of its fate."""

    directory: Path
    partition: int
    share: StoreShare
    restore: Restore
    clock: Clock
    flush_every_s: float
    before: Callable[[], Awaitable[None]]
    """Returns once whoever had the store before has let go of it."""
    restored: Callable[[int, Restored], None]
    quarantined: Callable[[int], None]


class StateEngine(ABC):
    """One partition's stage, store and restore."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.ports: StreamPorts | None = None
        self.store: PartitionStore | None = None
        self._overlay: Overlay | None = None
        self._flushed_s = home.clock.monotonic_s()
        self._forgotten: list[bytes] = []
        """What the keys begin with that were deleted for good since the last flush."""

    @abstractmethod
    def _begin(self, overlay: Overlay, restored: Restored) -> int:
        """Make the stage; gives the first offset that it wants."""

    @abstractmethod
    def _reload(self) -> None:
        """The stage forgets what is not in its state."""

    @abstractmethod
    def process(self, records: Sequence[InRecord]) -> Work:
        """The lane's word for it."""

    async def prepare(self) -> int:
        await self._home.before()
        try:
            self.store, restored = await self._open_and_restore()
        except (StateError, CorruptProfile) as error:
            if isinstance(error, StateError) and error.reason is not StateErrorReason.CORRUPT:
                raise
            log.error("the store is damaged; it is restored", directory=self._home.directory.name, error=str(error))
            self._quarantine()
            self.store, restored = await self._open_and_restore()
        self._overlay = Overlay(self.store)
        wanted = self._begin(self._overlay, restored)
        assert self.ports is not None
        self.ports.log_next = restored.log_end
        self._home.restored(self._home.partition, restored)
        return wanted

    async def admit(self) -> None:  # noqa: B027, the lane asks every engine, and few have a reason to wait
        """Whatever has come may be taken."""

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        """The protocol's fourth step."""
        assert self.store is not None
        self.store.write(writes, log_offset)

    def done(self, work: Work) -> None:
        assert self._overlay is not None
        assert self.store is not None
        if work.writes:
            self._overlay.pop()
        self._forgotten += work.facts.forgotten
        now_s = self._home.clock.monotonic_s()
        if now_s - self._flushed_s >= self._home.flush_every_s:
            self._flushed_s = now_s
            if self._forgotten and not self.store.is_scrubbing:
                forgotten, self._forgotten = self._forgotten, []
                self.store.scrub(forgotten)
            else:
                self.store.flush()

    def drop(self) -> None:
        assert self._overlay is not None
        self._overlay.clear()
        self._reload()

    async def mend(self) -> None:
        assert self.store is not None
        # Nobody else may look into a store that is being let go of.
        store, self.store = self.store, None
        await asyncio.to_thread(store.abandon)
        self._quarantine()
        await self.prepare()

    def close(self) -> None:
        if self.store is not None:
            if self._forgotten and not self.store.is_scrubbing:
                self.store.scrub(self._forgotten)
            self.store.close()
            self.store = None

    async def _open_and_restore(self) -> tuple[PartitionStore, Restored]:
        store = await asyncio.to_thread(self._open)
        try:
            return store, await self._home.restore.run(self._home.partition, store)
        except BaseException:
            await asyncio.to_thread(store.abandon)
            raise

    def _open(self) -> PartitionStore:
        home = self._home
        return PartitionStore(home.directory, home.partition, home.share, home.clock.now_ms)

    def _quarantine(self) -> None:
        kept = quarantine(self._home.directory, self._home.clock.now_ms())
        log.error("a damaged store was put aside", kept=str(kept))
        self._home.quarantined(self._home.partition)
