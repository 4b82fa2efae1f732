"""Faust's Kafka transport, by micro-batches: each fetch reaches the agent as one batch per partition.

Faust delivers record by record, at about 60 µs each, and works out what may be committed from single acknowledgements.
Here a batch is one message to Faust, and what may be committed is one number per partition that the lanes keep. What is
overridden of faust-streaming 0.15 is pinned by contract tests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import faust
from aiokafka.errors import NodeNotReadyError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from app.stages.records import InRecord

__all__ = ["TP", "Batch", "BatchConsumer", "BatchSchema", "BatchTransport", "Committable", "Progress"]


class Committable(int):
    """An offset from which a restart may go on, and a note for whoever does: kept by the broker beside the offset."""

    note: str

    def __new__(cls, offset: int, note: str = "") -> Committable:
        made = super().__new__(cls, offset)
        made.note = note
        return made


@dataclass(frozen=True, slots=True)
class Batch:
    """What an agent gets: records of one partition, in order."""

    tp: TP
    records: Sequence[InRecord]


class Progress(Protocol):
    """What the consumer asks of those that work on the batches."""

    def committable(self) -> Mapping[TP, int]:
        """Per partition the offset from which a restart may go on: all before it is done and acknowledged. With a note,
        if it is a `Committable`."""
        ...

    async def checkpoint(self, revoked: Iterable[TP]) -> None:
        """Finish or drop what is under way in these partitions; called before they are given up."""
        ...

    def assigned(self, partitions: Iterable[TP], generation: int) -> None:
        """These partitions are this worker's now; must return at once, heartbeats are waiting."""
        ...


class BatchSchema(faust.Schema):  # type: ignore[misc]
    """Hands a batch through Faust's channels as it is: nothing is decoded on the way."""

    def compile(self, app: Any, **_: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, headers={}, message=message)

        return decode


class HeartbeatThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The consumer's thread, which also knows when the group's coordinator last answered a heartbeat.

    It sees to it, too, that a member takes part in its group or ends: aiokafka's task for that dies of the unexpected,
    and nobody is told. What is left would hold its partitions, or wait for some, for ever.
    """

    last_heartbeat_s: float = 0.0

    async def on_start(self) -> None:
        await super().on_start()
        coordinator = self._consumer._coordinator
        beat = coordinator._do_heartbeat

        async def stamped() -> bool:
            sent_s = time.monotonic()
            good: bool = await beat()
            if good:
                # When it was sent, not when it was answered: the coordinator counts from there.
                self.last_heartbeat_s = sent_s
            return good

        coordinator._do_heartbeat = stamped
        commit = self._consumer.commit

        async def noted(offsets: Mapping[Any, Any]) -> None:
            # Faust has no word for notes; the offsets it is given pass through it as they are.
            await commit({tp: OffsetAndMetadata(int(at.offset), _note(at.offset)) for tp, at in offsets.items()})

        self._consumer.commit = noted

        client = self._consumer._client
        look_up = client.coordinator_lookup

        async def looked_up(kind: Any, key: str) -> Any:
            if client.get_random_node() is None:
                raise NodeNotReadyError("no broker is known")  # is tried again; an assertion would end the task
            return await look_up(kind, key)

        client.coordinator_lookup = looked_up
        coordinator._coordination_task.add_done_callback(self._coordinated)

    def _coordinated(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            asyncio.run_coroutine_threadsafe(self.consumer.crash(error), self.parent_loop)


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Fetches whole batches; commits what `Progress` says and nothing else."""

    progress: Progress
    _asked: Mapping[TP, int] = MappingProxyType({})

    def _new_consumer_thread(self) -> HeartbeatThread:
        return HeartbeatThread(self, loop=self.loop, beacon=self.beacon)

    def heartbeat_age_s(self) -> float:
        """Seconds since the coordinator last took this member for alive."""
        thread: HeartbeatThread = self._thread
        return time.monotonic() - thread.last_heartbeat_s

    # fetching

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                records, _ = await self._wait_next_records(1.0)
                if self.should_stop:
                    return
                if not self.flow_active:
                    await self._seek_back()
                elif records:
                    await self._hand_over(records)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _hand_over(self, records: Mapping[TP, Sequence[Any]]) -> None:
        generation = self.app.consumer_generation_id
        for tp, batch in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return  # positions are reset to what is committed before the flow resumes
            message = self._batch_message(tp, batch)
            await self.wait_first(self.callback(message), self.suspend_flow.wait())

    async def _seek_back(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:
            self.log.warning("seeking back to what is committed failed, the flow starts over: %r", error)

    def _batch_message(self, tp: TP, batch: Sequence[Any]) -> ConsumerMessage:
        last = batch[-1]
        return ConsumerMessage(
            last.topic, last.partition, last.offset, last.timestamp / 1_000, last.timestamp_type, None, None,
            Batch(tp, batch), None, None, None, tp, generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    # committing

    def ack(self, message: Any) -> bool:
        """That an agent has taken a batch says nothing about its work: lanes say what may be committed."""
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        # Looked at once for all partitions: Faust asks for the offset of each, right behind this.
        self._asked = self.progress.committable()
        return (tp for tp in self._asked if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._asked.get(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        committed = self._committed_offset[tp]
        if committed is None or offset > committed:
            return True
        return offset == committed and _note(offset) != _note(committed)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        held = self.assignment()
        mine = {tp: offset for tp, offset in offsets.items() if tp in held}
        if not mine or not await self._commit(mine):
            return False
        self._committed_offset.update(mine)
        return True

    async def on_stop(self) -> None:
        """Faust's own commit at the end would only wait for one that is under way."""
        await self.commit()
        await super().on_stop()

    # rebalancing

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Checkpoint first, while the flow runs: Faust's own callback stops it and forgets what it was committing."""
        if revoked:
            await self.progress.checkpoint(revoked)
            await self.commit()
            await self.commit()  # the first one may have waited for one that was under way, and nothing else
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._thread.last_heartbeat_s = time.monotonic()
        self.progress.assigned(assigned, generation_id)
        await super().on_partitions_assigned(assigned, generation_id)


def _note(offset: int) -> str:
    return offset.note if isinstance(offset, Committable) else ""


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the consumer above."""

    Consumer = BatchConsumer
