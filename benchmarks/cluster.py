"""The Kafka under the engines: topics made, filled and read whole."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.topics import partition_of
from benchmarks.events import PARTITIONS

BATCH_BYTES_MAX = 512 * 1024
READ_RECORDS_MAX = 5_000
READ_WAIT_MS = 1_000


@asynccontextmanager
async def administration(brokers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def create_topic(brokers: str, name: str, *, compacted: bool = False, of_the_past: bool = False) -> None:
    """A topic with `PARTITIONS` partitions.

    Args:
        of_the_past: Its records may be older than the broker would keep them.
    """
    settings = {"cleanup.policy": "compact"} if compacted else {}
    if of_the_past:
        settings["retention.ms"] = "-1"
    async with administration(brokers) as client:
        await client.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=settings)])


async def delete_topics(brokers: str, prefix: str) -> None:
    """Removes every topic whose name begins with `prefix`: the run's own, and what the engines made beside them."""
    async with administration(brokers) as client:
        names = [name for name in await client.list_topics() if name.startswith(prefix)]
        if names:
            await client.delete_topics(names)


async def fill(
    brokers: str, topic: str, records: Iterable[tuple[bytes, bytes]], *, places: Iterable[bytes] | None = None
) -> int:
    """Appends records (key, value) in whole batches; gives their number once all are acknowledged.

    Args:
        places: For each record the key by whose partition it is placed, where that is not its own: a changelog's
            record lies where its source's record lies, whatever its key looks like.
    """
    if places is None:
        return await _append(brokers, topic, ((key, key, value, None) for key, value in records))
    pairs = zip(places, records, strict=True)
    return await _append(brokers, topic, ((place, key, value, None) for place, (key, value) in pairs))


async def fill_stamped(brokers: str, topic: str, records: Iterable[tuple[bytes, bytes, int]]) -> int:
    """As `fill`, of records (key, value, timestamp in ms)."""
    return await _append(brokers, topic, ((key, key, value, at_ms) for key, value, at_ms in records))


Placed = tuple[bytes, bytes, bytes, int | None]
"""The key that decides on the partition, the key, the value, the timestamp in ms or None for now."""


async def _append(brokers: str, topic: str, records: Iterable[Placed]) -> int:
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers,
        enable_idempotence=True,  # a batch that is sent again must not make the truth false
        max_batch_size=BATCH_BYTES_MAX,
        max_request_size=2 * BATCH_BYTES_MAX,
    )
    await producer.start()
    try:
        return await _batches(producer, topic, records)
    finally:
        await producer.stop()


async def _batches(producer: AIOKafkaProducer, topic: str, records: Iterable[Placed]) -> int:
    partitions: dict[bytes, int] = {}  # place → partition: the hash is pure Python, and keys come again
    batches = {partition: producer.create_batch() for partition in range(PARTITIONS)}
    acks = []
    appended = 0
    for place, key, value, at_ms in records:
        partition = partitions.get(place)
        if partition is None:
            partition = partitions[place] = partition_of(place, PARTITIONS)
        if batches[partition].append(timestamp=at_ms, key=key, value=value) is None:
            # send_batch waits while the partition's previous batch is in flight: that bounds what is held here.
            acks.append(await producer.send_batch(batches[partition], topic, partition=partition))
            batches[partition] = producer.create_batch()
            batches[partition].append(timestamp=at_ms, key=key, value=value)
        appended += 1
    for partition, batch in batches.items():
        if batch.record_count():
            acks.append(await producer.send_batch(batch, topic, partition=partition))
    for ack in acks:
        await ack
    return appended


async def read(brokers: str, topic: str) -> AsyncIterator[bytes]:
    """Every value that is on a topic now; within a partition in order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(places)
        ends = {place: end for place, end in (await consumer.end_offsets(places)).items() if end > 0}
        while ends:
            fetched = await consumer.getmany(timeout_ms=READ_WAIT_MS, max_records=READ_RECORDS_MAX)
            for records in fetched.values():
                for record in records:
                    yield record.value
            for place in list(ends):
                # A transaction's marker takes an offset and is no record: only the position tells the end.
                if await consumer.position(place) >= ends[place]:
                    del ends[place]
    finally:
        await consumer.stop()
