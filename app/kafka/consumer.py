"""Reading without a group: a stretch of one partition as fast as it comes, or topics from their start for ever."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError, OffsetOutOfRangeError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords

from app.errors import HeadwaterError
from app.kafka.clients import PLAINTEXT, KafkaSettings
from app.settings import Security

FETCH_BYTES_MAX = 4 * 1024 * 1024
"""One answer's records; a batch that is larger comes whole. A read holds two answers, one of them decoded."""
FETCH_WAIT_MS = 500
STALL_TIMEOUT_S = 30.0
"""A read that gets nothing for so long has failed; brokers that restart are back sooner."""
BACKOFF_S = 0.1
FOLLOW_WAIT_MS = 500
READ_UNCOMMITTED = 0
EARLIEST = -2


class ReadError(HeadwaterError):
    """A stretch of log cannot be read to its end; the operator reads why."""


class RawRecord(Protocol):
    """One record, undecoded."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Ms since 1970: when it was appended, or when its producer says it was made; the topic decides."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class FollowedRecord(RawRecord, Protocol):
    """One record, with where it is from."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BulkRead:
    """A stretch of one partition."""

    topic: str
    partition: int
    start: int
    """First offset wanted; must still be in the log."""
    end: int | None = None
    """The offset to stop before; None for the log's end at the time of the first answer."""


class BulkReader:
    """Reads stretches of partitions; each `read` has connections of its own, so several run side by side.

    It reads what is written, also by transactions that were aborted; markers are left out.
    """

    def __init__(self, brokers: str, security: Security = PLAINTEXT) -> None:
        self._settings = KafkaSettings.of(brokers, security)

    async def read(self, read: BulkRead) -> AsyncIterator[list[RawRecord]]:
        """The stretch's records in order, some at a time, none of the lists empty; ends for certain at its end.

        The next answer is on its way while the caller works on this one. Where a read stands is told by the batches'
        own bounds: compaction and transaction markers leave offsets without a record, at the end too.

        Raises:
            ReadError: The log begins after `start`, ends before `end`, is damaged, or no broker answers.
        """
        position, end = read.start, read.end
        if end is not None and position >= end:
            return
        client = await self._connect(read.topic)
        fetch = _Fetch(client, read)
        ahead = asyncio.create_task(fetch.at(position, end))
        try:
            while end is None or position < end:
                answer = await ahead
                end = answer.high_watermark if end is None else end
                records, position = decode(read, answer.message_set, position, end)
                if position < end:
                    ahead = asyncio.create_task(fetch.at(position, end))
                if records:
                    yield records
        finally:
            ahead.cancel()
            # Gathered, so that neither its cancellation nor its error hides what ended the read.
            await asyncio.gather(ahead, return_exceptions=True)
            await client.close()

    async def _connect(self, topic: str) -> AIOKafkaClient:
        client = AIOKafkaClient(**self._settings.connect_arguments())
        try:
            await client.bootstrap()
            await client.add_topic(topic)
        except (KafkaError, TimeoutError) as error:
            await client.close()
            raise ReadError(f"no broker of {', '.join(self._settings.brokers)} answers: {error!r}") from error
        return client


@dataclass(frozen=True, slots=True)
class _Answer:
    high_watermark: int
    message_set: bytes


class _Fetch:
    """Fetches from one partition's leader, wherever that is, and knows when to give up."""

    def __init__(self, client: AIOKafkaClient, read: BulkRead) -> None:
        self._client = client
        self._read = read

    async def at(self, position: int, end: int | None) -> _Answer:
        """The answer from an offset on: with records, or with nothing if the log ends there and no end is known yet.

        Raises:
            ReadError: see `BulkReader.read`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STALL_TIMEOUT_S
        failure = "its broker has no more records"
        while loop.time() < deadline:
            try:
                # Whoever asks where the log ends is told at once, not when something comes.
                answer = await self._once(position, 0 if end is None else FETCH_WAIT_MS)
            except OffsetOutOfRangeError as error:
                raise ReadError(
                    f"{self._place()}: offset {position} is not in the log, which begins at {await self._log_start()}. "
                    "It was cut, by retention or by hand, or the topic was made anew"
                ) from error
            except (KafkaError, TimeoutError) as error:
                if isinstance(error, KafkaError) and not error.retriable:
                    raise ReadError(f"{self._place()} cannot be read at {position}: {error!r}") from error
                failure = repr(error)
                await asyncio.sleep(BACKOFF_S)
                await self._client.force_metadata_update()
                continue
            if answer.message_set or (end is None and answer.high_watermark <= position):
                return answer
            failure = f"the log ends at {answer.high_watermark}"
        raise ReadError(f"{self._place()}: stuck at {position} of {end} for {STALL_TIMEOUT_S:.0f} s: {failure}")

    async def _once(self, position: int, wait_ms: int) -> _Answer:
        topic, partition = self._read.topic, self._read.partition
        wanted = [(topic, [(partition, position, FETCH_BYTES_MAX)])]
        request = FetchRequest(wait_ms, 1, FETCH_BYTES_MAX, READ_UNCOMMITTED, wanted)
        response = await self._client.send(self._leader(), request)
        ((_, ((_, code, high_watermark, *_, message_set),)),) = response.topics
        if code:
            raise for_code(code)(self._place())
        return _Answer(high_watermark, message_set)

    async def _log_start(self) -> int | str:
        request = OffsetRequest(-1, READ_UNCOMMITTED, [(self._read.topic, [(self._read.partition, EARLIEST)])])
        try:
            response = await self._client.send(self._leader(), request)
        except (KafkaError, TimeoutError):
            return "an unknown offset"
        ((_, ((_, code, _, offset),)),) = response.topics
        return int(offset) if code == 0 else "an unknown offset"

    def _leader(self) -> int:
        leader = self._client.cluster.leader_for_partition(TopicPartition(self._read.topic, self._read.partition))
        if leader is None or leader < 0:
            raise LeaderNotAvailableError(f"{self._place()} has no leader")
        return int(leader)

    def _place(self) -> str:
        return f"{self._read.topic}/{self._read.partition}"


def decode(read: BulkRead, message_set: bytes, position: int, end: int) -> tuple[list[RawRecord], int]:
    """The records of an answer with `position <= offset < end`, and the offset to go on from.

    Raises:
        ReadError: A batch is damaged, or the answer brings the read no further.
    """
    records: list[RawRecord] = []
    before, log = position, MemoryRecords(message_set)
    while position < end and log.has_next():
        batch = log.next_batch()
        if batch is None:
            break
        if not batch.validate_crc():
            raise ReadError(
                f"{read.topic}/{read.partition}: the batch at {batch.base_offset} is damaged: its checksum is wrong"
            )
        if not batch.is_control_batch:
            # A batch is sent whole: its first records may lie before what was asked, its last ones after.
            if batch.base_offset >= position and batch.next_offset <= end:
                records += batch
            else:
                records += [record for record in batch if position <= record.offset < end]
        position = batch.next_offset
    if message_set and position == before:
        raise ReadError(f"{read.topic}/{read.partition}: a batch at {position} is cut short")
    return records, min(position, end)


class LogFollower:
    """Follows topics from their first record on, for ever: `async for records in follower`, all of one partition each.

    No group, nothing is committed. The topics must be there when it opens.
    """

    def __init__(self, brokers: str, topics: Sequence[str], security: Security = PLAINTEXT) -> None:
        self._consumer = AIOKafkaConsumer(
            *topics,
            **KafkaSettings.of(brokers, security).connect_arguments(),
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=FOLLOW_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
        )

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
        except KafkaError as error:
            await self._consumer.stop()
            raise ReadError(f"no broker answers: {error!r}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def __aiter__(self) -> AsyncIterator[list[FollowedRecord]]:
        while True:
            for records in (await self._consumer.getmany(timeout_ms=FOLLOW_WAIT_MS)).values():
                yield records
