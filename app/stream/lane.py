"""A lane: one partition's batches, one after the other; the next is computed while the last one's acks are awaited."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from app.errors import StateError
from app.observability import logs
from app.profiles.codec import CorruptProfile
from app.stages.records import InRecord, Work
from app.stream.commit import Ports, commit

log = logs.get("lane")

RETRY_DELAY_S_MAX = 5.0
RECORDS_MIN = 50
"""In a batch, however long they take: below it the acknowledgements take most of the time."""


class Engine(Protocol):
    """A partition's stage with all that it stands on."""

    async def prepare(self) -> int | None:
        """Make ready to process: open, restore, check. The first offset wanted, None for whatever comes."""
        ...

    async def admit(self) -> None:
        """Return when the next batch may be taken: at once, unless it would be cheaper or safer later."""
        ...

    def process(self, records: Sequence[InRecord]) -> Work:
        """Compute a batch, or as many of its first records as the work's `src_next` says, at least one.

        Its effects are seen by the next batch, and by nobody else yet.
        """
        ...

    def done(self, work: Work) -> None:
        """A batch has been committed."""
        ...

    def drop(self) -> None:
        """Forget every batch that was computed and not committed."""
        ...

    async def mend(self) -> None:
        """The store is damaged: take it away and restore it."""
        ...

    def close(self) -> None:
        """Give the partition up; blocks for as long as a flush takes."""
        ...


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How much one partition may hold in memory, and how long its checkpoint may take."""

    batch_records: int = 2_000
    """More records make a batch cheaper per record, and its first record wait longer."""
    compute_s: float = 0.1
    """A batch is cut where computing it would take longer: nothing else of the process runs meanwhile."""
    queued_records_max: int = 8_000
    """From here on the partition is not fetched, until half of it is left."""
    checkpoint_s: float = 5.0
    """What a rebalance waits for a batch under way; then it is dropped, which is safe at every step."""


class Lane:
    """One partition's worker.

    Args:
        name: For logs, as `profiles.in-3`.
        turn: Held while a batch is computed, by one lane of the process at a time: between two batches everything else
            gets its turn, acknowledgements and heartbeats above all.
        full: Called with True when the partition must not be fetched for now, and with False when it may be again.
        fatal: Called when the partition cannot go on: another owner, or state that does not fit its log.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        ports: Ports,
        limits: LaneLimits,
        turn: asyncio.Lock,
        *,
        full: Callable[[bool], None],
        fatal: Callable[[Exception], None],
        failpoint: Callable[[str], None],
        observe: Callable[[Work, float], None],
        computed: Callable[[float], None],
    ) -> None:
        self.name = name
        self.engine = engine
        self.ready = asyncio.Event()
        self._ports = ports
        self._limits = limits
        self._turn = turn
        self._batch_records = limits.batch_records
        """How many records can be computed in `compute_s`, going by the last batches."""
        self._full = full
        self._fatal = fatal
        self._failpoint = failpoint
        self._observe = observe
        self._computed = computed
        self._queue: deque[Sequence[InRecord]] = deque()
        self._queued = 0
        self._is_full = False
        self._wake = asyncio.Event()
        self._next: int | None = None
        self.read_next: int | None = None
        """Behind the newest record that was handed over."""
        self.done_next: int | None = None
        """Behind the newest record whose work is committed to everything."""
        self.done_at_ms = 0
        """When the newest of those records was appended."""
        self._commit: asyncio.Task[None] | None = None
        self._uncommitted: deque[Sequence[InRecord]] = deque()
        self._going = asyncio.Event()
        """Not set between a checkpoint and `resume`."""
        self._going.set()
        self._damage: CorruptProfile | None = None
        self._task = asyncio.create_task(self._run(), name=f"lane {name}")

    # the consumer's side

    def offer(self, records: Sequence[InRecord]) -> None:
        """Take over records, which follow those of the last call; a repeat after a rebalance is passed over."""
        if self.read_next is not None and records[0].offset < self.read_next:
            records = [record for record in records if record.offset >= (self.read_next or 0)]
            if not records:
                return
        self.read_next = records[-1].offset + 1
        self._queue.append(records)
        self._queued += len(records)
        if not self._is_full and self._queued >= self._limits.queued_records_max:
            self._is_full = True
            self._full(True)
        self._wake.set()

    async def checkpoint(self) -> None:
        """Let the batch under way end, within the budget, and begin nothing else until `resume`.

        That includes the batch that has been computed meanwhile: once the partition is given up its new owner restores,
        and whatever this lane sent from then on would be a foreign write to be found and repaired.
        """
        self._going.clear()
        self._clear_queue()
        task = self._commit
        if task is not None and not task.done():
            await asyncio.wait({task}, timeout=self._limits.checkpoint_s)
        # What ended is in changelog and store, and Kafka has not been told.
        self._failpoint("on_revoke")

    def resume(self) -> None:
        """The partition is still ours: go on from what is committed, the consumer reads it again."""
        self._clear_queue()
        self.read_next = self._after_uncommitted()
        self._going.set()
        self._wake.set()

    def damaged(self, error: CorruptProfile) -> None:
        """Somebody else who reads the store has found it damaged: it is mended before the next batch."""
        self._damage = error
        self._wake.set()

    async def close(self) -> None:
        """Stop and give the partition up."""
        self._task.cancel()
        if self._commit is not None:
            self._commit.cancel()
        tasks = [task for task in (self._task, self._commit) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self.engine.close)

    def _after_uncommitted(self) -> int | None:
        return self._uncommitted[-1][-1].offset + 1 if self._uncommitted else self.done_next

    def _clear_queue(self) -> None:
        self._queue.clear()
        self._queued = 0
        if self._is_full:
            self._is_full = False
            self._full(False)

    # the worker's side

    async def _run(self) -> None:
        delay_s = 0.1
        try:
            self._next = self.done_next = await self.engine.prepare()
            self.ready.set()
            while True:
                try:
                    await self._step()
                    delay_s = 0.1
                except CorruptProfile as error:
                    log.error("the store is damaged; it is restored", lane=self.name, error=str(error))
                    await self._drop()
                    await self.engine.mend()
                    self._damage = None  # what was found since then was in the store that is gone
                except StateError:
                    raise
                except Exception as error:
                    # The broker, almost always. What was computed is dropped and computed again: the same ids go out.
                    log.warning("a batch failed and is tried again", lane=self.name, error=repr(error))
                    await self._drop()
                    await asyncio.sleep(delay_s)
                    delay_s = min(2 * delay_s, RETRY_DELAY_S_MAX)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.error("the partition stops", lane=self.name, error=str(error), exc_info=error)
            self._fatal(error)

    async def _step(self) -> None:
        await self.engine.admit()
        records = await self._take()
        if self._damage is not None and self._going.is_set():
            if records is not None:
                self._uncommitted.append(records)
            raise self._damage
        if records is None:
            return
        self._uncommitted.append(records)
        async with self._turn:
            started_s = monotonic()
            work = self.engine.process(records)
            took_s = monotonic() - started_s
        self._computed(took_s)
        if work.src_next <= records[-1].offset:
            records = self._put_back(work.src_next)
        self._pace(len(records), took_s)
        await self._committed()
        await self._going.wait()
        self._commit = asyncio.create_task(self._carry_out(work, records))

    def _put_back(self, src_next: int) -> Sequence[InRecord]:
        """The engine took a part of the newest batch: the rest of it is the next one."""
        records = self._uncommitted.pop()
        taken = [record for record in records if record.offset < src_next]
        self._uncommitted.append(taken)
        self._queue.appendleft(records[len(taken) :])
        self._queued += len(records) - len(taken)
        return taken

    async def _take(self) -> Sequence[InRecord] | None:
        """The next batch; None when a commit ended meanwhile, to see whether it failed."""
        while not self._queue or not self._going.is_set():
            if self._damage is not None and self._going.is_set():
                return None
            self._wake.clear()
            if self._commit is None:
                await self._wake.wait()
                continue
            waiting = asyncio.ensure_future(self._wake.wait())
            try:
                await asyncio.wait({waiting, self._commit}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
            if self._commit.done():
                await self._committed()
                return None
        batch: list[InRecord] = []
        while self._queue and len(batch) < self._batch_records:
            first = self._queue.popleft()
            room = self._batch_records - len(batch)
            batch.extend(first[:room])
            if len(first) > room:
                self._queue.appendleft(first[room:])
        self._queued -= len(batch)
        if self._is_full and self._queued <= self._limits.queued_records_max // 2:
            self._is_full = False
            self._full(False)
        if self._next is not None and batch[0].offset < self._next:
            batch = [record for record in batch if record.offset >= (self._next or 0)]
        return batch or None

    def _pace(self, records: int, took_s: float) -> None:
        """Make the next batch as large as can be computed in time; it grows slowly, for its records may be others."""
        limits = self._limits
        fitting = int(records * limits.compute_s / took_s) if took_s else limits.batch_records
        wanted = min(fitting, 2 * self._batch_records)
        self._batch_records = max(min(wanted, limits.batch_records), min(RECORDS_MIN, limits.batch_records))

    async def _committed(self) -> None:
        if self._commit is not None:
            # Known until it has ended: a checkpoint that comes meanwhile waits for it too.
            await self._commit
            self._commit = None

    async def _carry_out(self, work: Work, records: Sequence[InRecord]) -> None:
        started_s = asyncio.get_running_loop().time()
        await commit(work, self._ports, self._failpoint)
        self.engine.done(work)
        self._uncommitted.popleft()
        self.done_next = max(work.src_next, self.done_next or 0)
        self.done_at_ms = max(self.done_at_ms, records[-1].timestamp)
        self._observe(work, asyncio.get_running_loop().time() - started_s)

    async def _drop(self) -> None:
        """Put what is not committed back to the front of the queue, once the commit under way has ended or failed."""
        if self._commit is not None:
            await asyncio.wait({self._commit})
            error, self._commit = self._commit.exception(), None
            if isinstance(error, StateError):
                raise error  # any other is that of the try to come, if it lasts
        self.engine.drop()
        self._queue.extendleft(reversed(self._uncommitted))
        self._queued += sum(map(len, self._uncommitted))
        self._uncommitted.clear()
