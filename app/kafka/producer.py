"""Whole batches out: records of one partition are packed together and acknowledged by one future per batch.

Sending is in two phases, so that a caller can post to many partitions and then wait once: `post` packs and hands over,
`await_acks` returns when all in-sync replicas have every record. `send` and `append` are both in one.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

from app.errors import HeadwaterError
from app.kafka.clients import PLAINTEXT, KafkaSettings
from app.settings import Security

BATCH_BYTES_MAX = 1024 * 1024
"""A broker of stock settings takes batches of 1,048,588 bytes."""
RECORD_BYTES_MAX = 8 * 1024 * 1024
ACK_TIMEOUT_S = 120.0
"""For all acks of one call; the client retries all that time. More would hide a broker that is gone."""
STOP_TIMEOUT_S = 10.0
ABANDON_TIMEOUT_S = 1.0
"""For a client whose connections are closed already: its task has nothing left to wait for, and lanes wait for it."""

Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""Key, value, headers."""


class ProduceError(HeadwaterError):
    """Records were not acknowledged; whoever sent them computes and sends them again.

    They may have been written, or may be yet: a repeat is possible, and ids make it harmless.
    """


class RecordMetadata(Protocol):
    """What the broker says of a batch."""

    @property
    def offset(self) -> int:
        """Of the batch's first record; -1 if the broker had the batch already and no longer knows where."""
        ...


@dataclass(frozen=True, slots=True)
class Posted:
    """A batch on its way."""

    future: "asyncio.Future[RecordMetadata]"
    count: int
    """Records in the batch."""


class Batch(Protocol):
    """aiokafka's BatchBuilder."""

    def append(
        self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> object | None:
        """Add a record; None if the batch is full."""
        ...

    def close(self) -> None:
        """Let nothing more in, and do not linger."""
        ...


class Producer:
    """An idempotent producer with acks=all. Start it, then `post` from one task for each partition.

    Within a partition records are written in the order given, also through retries. A failure spends the client that
    failed: what it still held is dropped, and the next call gets a new one, with a new producer id. So nothing that was
    reported as failed is sent by this process later, behind what came after it.
    """

    def __init__(self, brokers: str, security: Security = PLAINTEXT, *, ack_timeout_s: float = ACK_TIMEOUT_S) -> None:
        self._settings = KafkaSettings.of(brokers, security)
        self._ack_timeout_s = ack_timeout_s
        self._client: AIOKafkaProducer | None = None
        self._outstanding: set[asyncio.Future[RecordMetadata]] = set()
        """Batches of the client that are not acknowledged yet."""
        self._turns: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        """By partition. aiokafka takes one batch of a partition at a time, and of several that wait for that it lets
        any go first, and counts what they waited again at each turn: the last one is refused long before its time."""
        self._renewal = asyncio.Lock()
        self._stopped = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect, and get a producer id.

        Raises:
            ProduceError: No broker answers.
        """
        await self._live()

    async def stop(self) -> None:
        """Send what was posted, for a short while, then close; what is not acked by then fails."""
        self._stopped = True
        client, self._client = self._client, None
        if client is None:
            return
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await client.stop()
        except TimeoutError:
            await _abandon(client)

    async def post(self, topic: str, partition: int, records: Iterable[Record]) -> list[Posted]:
        """Pack records into batches and hand them over, in order; returns before they are acknowledged.

        Waits while an earlier batch of this partition has not left: at most two are held besides those in flight.

        Raises:
            ProduceError: A record is larger than `RECORD_BYTES_MAX`; the topic does not exist; the client failed.
        """
        return await self._post({(topic, partition): records})

    async def await_acks(self, posted: Sequence[Posted]) -> tuple[int, int]:
        """Wait until every batch is acknowledged.

        Returns:
            First offset of the first batch and last offset of the last one: where the records of one `post` are, if
            nobody else wrote in between.
        Raises:
            ProduceError: One was not, or not in time.
        """
        if not posted:
            raise ValueError("nothing was posted")
        try:
            async with asyncio.timeout(self._ack_timeout_s):
                for batch in posted:
                    await batch.future
        except (KafkaError, TimeoutError) as error:
            await self._spend()
            raise ProduceError(f"records were not acknowledged: {error!r}") from error
        first, last = posted[0].future.result(), posted[-1].future.result()
        return first.offset, last.offset + posted[-1].count - 1

    async def send(self, outputs: Mapping[tuple[str, int], Iterable[Record]]) -> None:
        """Send records by (topic, partition) and return when every one is acknowledged.

        Raises:
            ProduceError: One was not.
        """
        posted = await self._post(outputs)
        if posted:
            await self.await_acks(posted)

    async def append(
        self,
        topic: str,
        partition: int,
        records: Iterable[tuple[bytes | None, bytes | None]],
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> tuple[int, int]:
        """Send keys and values to one partition; their first and last offset once all are acknowledged.

        If the span is longer than the records are many, somebody else has written in between.

        Raises:
            ProduceError: One was not, or the broker no longer knows where it put them.
        """
        posted = await self.post(topic, partition, ((key, value, headers) for key, value in records))
        first, last = await self.await_acks(posted)
        if min(batch.future.result().offset for batch in posted) < 0:
            await self._spend()
            raise ProduceError(f"{topic}/{partition}: written, but the broker does not say at which offset")
        return first, last

    async def _post(self, outputs: Mapping[tuple[str, int], Iterable[Record]]) -> list[Posted]:
        client = await self._live()
        packed = {
            place: batches for place, records in outputs.items() if (batches := pack(client.create_batch, records))
        }
        posted: dict[tuple[str, int], list[Posted]] = {place: [] for place in packed}
        try:
            # Round by round, so that a partition with many batches does not keep the others waiting.
            for turn in range(max(map(len, packed.values()), default=0)):
                for (topic, partition), batches in packed.items():
                    if turn < len(batches):
                        batch, count = batches[turn]
                        async with self._turns[topic, partition]:
                            future = await client.send_batch(batch, topic, partition=partition)
                        if client is self._client:
                            self._outstanding.add(future)
                        future.add_done_callback(self._heard)
                        posted[topic, partition].append(Posted(future, count))
        except (KafkaError, AssertionError) as error:
            # aiokafka asserts that a partition exists.
            await self._spend()
            raise ProduceError(f"records cannot be sent to {topic}/{partition}: {error!r}") from error
        return [batch for batches in posted.values() for batch in batches]

    async def _live(self) -> AIOKafkaProducer:
        if self._client is not None:
            return self._client
        async with self._renewal:
            if self._stopped:
                raise ProduceError("the producer was stopped")
            if self._client is None:
                client = AIOKafkaProducer(
                    **self._settings.connect_arguments(),
                    acks="all",
                    enable_idempotence=True,
                    max_batch_size=BATCH_BYTES_MAX,
                    max_request_size=RECORD_BYTES_MAX,
                    linger_ms=0,
                )
                try:
                    async with asyncio.timeout(self._ack_timeout_s):
                        await client.start()
                except (KafkaError, TimeoutError) as error:
                    await _abandon(client)
                    raise ProduceError(
                        f"no broker of {', '.join(self._settings.brokers)} answers: {error!r}"
                    ) from error
                self._client = client
            return self._client

    async def _spend(self) -> None:
        client, self._client = self._client, None
        outstanding, self._outstanding = self._outstanding, set()
        if client is not None:
            await _abandon(client, outstanding)

    def _heard(self, future: "asyncio.Future[RecordMetadata]") -> None:
        self._outstanding.discard(future)
        if not future.cancelled():
            future.exception()  # looked at, so that asyncio does not log one whose waiter has gone


def pack(create: Callable[[], Batch], records: Iterable[Record]) -> list[tuple[Batch, int]]:
    """Records in batches of at most `BATCH_BYTES_MAX`, with their counts; a larger record gets a batch of its own.

    About 0.7 µs a record of 150 bytes, most of it in aiokafka's compiled builder: calling that one directly, around
    aiokafka's wrapper, saved only 0.07 µs.

    Raises:
        ProduceError: A record is larger than any topic takes; nothing has been sent.
    """
    batches: list[tuple[Batch, int]] = []
    batch, count = create(), 0
    append = batch.append
    for key, value, headers in records:
        if value is not None and len(value) > RECORD_BYTES_MAX:
            raise ProduceError(f"a record of {len(value)} bytes is larger than {RECORD_BYTES_MAX}")
        listed = headers if type(headers) is list else list(headers)
        if append(timestamp=None, key=key, value=value, headers=listed) is None:
            batches.append((batch, count))
            batch, count = create(), 0
            append = batch.append
            # An empty batch takes any record, whatever its size.
            append(timestamp=None, key=key, value=value, headers=listed)
        count += 1
    if count:
        batches.append((batch, count))
    for each, _ in batches:
        each.close()
    return batches


async def _abandon(client: AIOKafkaProducer, outstanding: "Iterable[asyncio.Future[RecordMetadata]]" = ()) -> None:
    """Close a client without sending what it holds; aiokafka's own `stop` would wait for it, for ever if need be.

    Its outstanding batches fail: aiokafka puts one whose request has just failed back into its queue, perhaps after it
    has failed all that were in it, and then nobody would ever hear of that one again.
    """
    client._closed = True
    sender = client._sender
    task = sender.sender_task if sender is not None else None
    if task is not None:
        task.cancel()
    # Connections first: requests in flight fail at once rather than at their timeout.
    await client.client.close()
    for future in list(outstanding):
        if not future.done():
            future.set_exception(ProducerClosed())
    if task is not None:
        with contextlib.suppress(asyncio.CancelledError, KafkaError, TimeoutError):
            async with asyncio.timeout(ABANDON_TIMEOUT_S):
                await task
    client._message_accumulator.fail_all(ProducerClosed())
