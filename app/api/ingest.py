"""Tracking calls → `events.raw`: what arrives while Kafka acknowledges one group goes out as the next.

So the batches grow with the traffic, and a single caller waits for nobody.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence

from app.api.server import NotAcknowledged, Record
from app.kafka.producer import ProduceError, Producer
from app.kafka.producer import Record as KafkaRecord
from app.topics import JSON_HEADERS, partition_of

GROUP_RECORDS_MAX = 10_000
"""One call more may go over it; a call's records are never parted."""


class Spreader:
    """Gives each record its partition: by its key as Kafka's own clients do, without one in turn."""

    def __init__(self, topic: str, partitions: int) -> None:
        self._topic = topic
        self._partitions = partitions
        self._turns = itertools.cycle(range(partitions))

    def spread(self, records: Iterable[Record]) -> dict[tuple[str, int], list[KafkaRecord]]:
        """Records by (topic, partition), in order within each."""
        found: dict[tuple[str, int], list[KafkaRecord]] = defaultdict(list)
        for key, value in records:
            partition = next(self._turns) if key is None else partition_of(key, self._partitions)
            found[self._topic, partition].append((key, value, JSON_HEADERS))
        return found


class Ingest:
    """Group commit over one producer: `produce` from any task, `run` in one."""

    def __init__(self, producer: Producer, spreader: Spreader) -> None:
        self._producer = producer
        self._spreader = spreader
        self._waiting: list[tuple[Sequence[Record], asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()

    async def produce(self, records: Sequence[Record]) -> None:
        """Returns when Kafka has acknowledged all of them.

        Raises:
            NotAcknowledged: it has not; they may be there nevertheless.
        """
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, acknowledged))
        self._arrived.set()
        await acknowledged

    async def run(self) -> None:
        """Send, group after group, until cancelled; whoever waits then is told that nothing is sure."""
        try:
            while True:
                await self._arrived.wait()
                group = self._next_group()
                try:
                    await self._send(group)
                finally:
                    # Only on cancellation is anyone of them still waiting here.
                    _settle(group, NotAcknowledged("the process stops"))
        finally:
            _settle(self._waiting, NotAcknowledged("the process stops"))

    def _next_group(self) -> list[tuple[Sequence[Record], asyncio.Future[None]]]:
        count, end = 0, 0
        while end < len(self._waiting) and count < GROUP_RECORDS_MAX:
            count += len(self._waiting[end][0])
            end += 1
        group, self._waiting = self._waiting[:end], self._waiting[end:]
        if not self._waiting:
            self._arrived.clear()
        return group

    async def _send(self, group: list[tuple[Sequence[Record], asyncio.Future[None]]]) -> None:
        records = itertools.chain.from_iterable(call for call, _ in group)
        try:
            await self._producer.send(self._spreader.spread(records))
        except ProduceError as error:
            _settle(group, NotAcknowledged(str(error)))
        else:
            _settle(group, None)


def _settle(group: Sequence[tuple[Sequence[Record], asyncio.Future[None]]], error: NotAcknowledged | None) -> None:
    for _, future in group:
        # A caller who has gone away has cancelled its own.
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
