"""Stages with what they stand on: the store, its restore, the changelog and the outputs of one partition."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic

from app.clock import Clock
from app.errors import StateError, StateErrorReason
from app.kafka.producer import Producer
from app.observability import failpoints, logs
from app.profiles.codec import CorruptProfile
from app.profiles.seen import DAY_MS
from app.stages.compute import ComputeStage
from app.stages.overlay import Overlay
from app.stages.records import InRecord, OutRecord, Work
from app.stages.resolve_simple import SimpleResolveStage
from app.stream.repair import Repair
from app.stream.restore import Restore, Restored
from app.stream.store import PartitionStore, StoreShare, quarantine
from app.topics import Topics
from app.transport.fence import Fence

log = logs.get("store")


class StreamPorts:
    """The commit protocol's ports for one partition.

    Args:
        partition: Of the changelog.
        write: The store's write; None for a stage without state.
        repair: Called when somebody else has written to the changelog since our last record.
    """

    def __init__(
        self,
        producer: Producer,
        topics: Topics,
        partition: int,
        fence: Fence,
        write: Callable[[Mapping[bytes, bytes | None], int], None] | None,
        repair: Repair | None,
        failpoint: Callable[[str], None],
        observe: Callable[[str, float], None],
    ) -> None:
        self._producer = producer
        self._changelog = topics.profiles_changelog
        self._partition = partition
        self._fence = fence
        self._write = write
        self._repair = repair
        self._failpoint = failpoint
        self._observe = observe
        self.log_next: int | None = None
        """The changelog offset that the next record gets, if nobody else writes there."""
        self._tearing = failpoints.is_armed(failpoints.Failpoint.MID_CHANGELOG)

    def still_mine(self) -> None:
        self._fence.check(self._partition)

    async def send(self, outputs: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        started_s = monotonic()
        posted = [
            batch
            for (topic, partition), records in outputs.items()
            for batch in await self._producer.post(topic, partition, records)
        ]
        self._failpoint("mid_outputs")
        await self._producer.await_acks(posted)
        self._observe("outputs", monotonic() - started_s)

    async def append(self, changelog: Sequence[tuple[bytes, bytes | None]]) -> int:
        expected, self.log_next = self.log_next, None
        started_s = monotonic()
        first, last = await self._appended(changelog)
        self._observe("changelog", monotonic() - started_s)
        if expected is not None and first > expected and self._repair is not None:
            last = max(last, await self._repair(expected, first, {key for key, _ in changelog}))
        self.log_next = last + 1
        return last

    async def _appended(self, changelog: Sequence[tuple[bytes, bytes | None]]) -> tuple[int, int]:
        if not self._tearing:
            return await self._producer.append(self._changelog, self._partition, changelog)
        # A test wants to die with half a batch in the changelog.
        half = len(changelog) // 2 + 1
        first, last = await self._producer.append(self._changelog, self._partition, changelog[:half])
        self._failpoint("mid_changelog")
        if changelog[half:]:
            _, last = await self._producer.append(self._changelog, self._partition, changelog[half:])
        return first, last

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        assert self._write is not None, "a stage without state has no changelog"
        started_s = monotonic()
        self._write(writes, log_offset)
        self._observe("store", monotonic() - started_s)

    def committable(self, src_next: int) -> None:
        """Kept by the lane, which is what the consumer asks."""


class ResolveEngine:
    """The resolve stage of one partition of `events.raw`.

    Args:
        start: Where the group stands in it. Asked of the broker, because a partition to which nothing new comes would
            never say so by itself: it would seem to lag for ever, and hold up everybody's timers.
    """

    def __init__(self, stage: SimpleResolveStage, clock: Clock, start: Callable[[], Awaitable[int]]) -> None:
        self._stage = stage
        self._clock = clock
        self._start = start

    async def prepare(self) -> int | None:
        return await self._start()

    def process(self, records: Sequence[InRecord]) -> Work:
        return self._stage.process(records, self._clock.now_ms())

    def done(self, work: Work) -> None:
        """Nothing is kept."""

    def drop(self) -> None:
        """Nothing is kept."""

    async def mend(self) -> None:
        raise AssertionError("a stage without a store has none that could be damaged")

    def close(self) -> None:
        """Nothing is held."""


class ComputeEngine:
    """The compute stage of one partition of `profiles.in`, its store and its restore."""

    def __init__(
        self,
        topics: Topics,
        partition: int,
        partitions: int,
        directory: Path,
        share: StoreShare,
        restore: Restore,
        clock: Clock,
        *,
        generation: int,
        cache_bytes: int,
        flush_every_s: float,
        before: Callable[[], Awaitable[None]],
        restored: Callable[[int, Restored], None],
        quarantined: Callable[[int], None],
    ) -> None:
        self._topics = topics
        self._partition = partition
        self._partitions = partitions
        self._directory = directory
        self._share = share
        self._restore = restore
        self._clock = clock
        self._generation = generation
        self._cache_bytes = cache_bytes
        self._before = before
        self._flush_every_s = flush_every_s
        self._restored = restored
        self._quarantined = quarantined
        self.ports: StreamPorts | None = None
        self.store: PartitionStore | None = None
        self.stage: ComputeStage | None = None
        self._overlay: Overlay | None = None
        self._day = 0
        self._flushed_s = clock.monotonic_s()

    async def prepare(self) -> int:
        await self._before()
        try:
            self.store, restored = await self._open_and_restore()
        except (StateError, CorruptProfile) as error:
            if isinstance(error, StateError) and error.reason is not StateErrorReason.CORRUPT:
                raise
            log.error("the store is damaged; it is restored", partition=self._partition, error=str(error))
            self._quarantine()
            self.store, restored = await self._open_and_restore()
        self._overlay = Overlay(self.store)
        self.stage = ComputeStage(
            self._topics,
            self._partition,
            self._partitions,
            self._overlay,
            epoch=restored.epoch,
            generation=self._generation,
            cache_bytes=self._cache_bytes,
        )
        assert self.ports is not None
        self.ports.log_next = restored.log_end
        self._restored(self._partition, restored)
        return self.stage.src_next

    def process(self, records: Sequence[InRecord]) -> Work:
        assert self.stage is not None
        return self.stage.process(records)

    @property
    def plan_version(self) -> int:
        """Of the plan by which the next record is evaluated; 0 before it is ready."""
        return self.stage.plan_version if self.stage is not None else 0

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        """The protocol's fourth step."""
        assert self.store is not None
        self.store.write(writes, log_offset)

    def done(self, work: Work) -> None:
        assert self._overlay is not None
        assert self.store is not None
        if work.changelog:
            self._overlay.pop()
        day = work.facts.newest_at_ms // DAY_MS
        if day > self._day:
            self._day = day
            self.store.drop_seen_before(day * DAY_MS)
        now_s = self._clock.monotonic_s()
        if now_s - self._flushed_s >= self._flush_every_s:
            self._flushed_s = now_s
            self.store.flush()

    def drop(self) -> None:
        assert self._overlay is not None
        assert self.stage is not None
        self._overlay.clear()
        self.stage.reload()

    async def mend(self) -> None:
        assert self.store is not None
        # Nobody else may look into a store that is being let go of.
        store, self.store = self.store, None
        await asyncio.to_thread(store.abandon)
        self._quarantine()
        await self.prepare()

    async def _open_and_restore(self) -> tuple[PartitionStore, Restored]:
        store = await asyncio.to_thread(self._open)
        try:
            return store, await self._restore.run(self._partition, store)
        except BaseException:
            await asyncio.to_thread(store.abandon)
            raise

    def _open(self) -> PartitionStore:
        return PartitionStore(self._directory, self._partition, self._share, self._clock.now_ms)

    def _quarantine(self) -> None:
        kept = quarantine(self._directory, self._clock.now_ms())
        log.error("a damaged store was put aside", partition=self._partition, kept=str(kept))
        self._quarantined(self._partition)

    def close(self) -> None:
        if self.store is not None:
            self.store.close()
            self.store = None
