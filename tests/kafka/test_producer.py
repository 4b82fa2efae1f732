import asyncio

import pytest

from app.embedded.broker import EmbeddedBroker
from app.embedded.home import free_port
from app.kafka.admin import Admin, TopicSpec
from app.kafka.consumer import BulkRead, BulkReader, RawRecord
from app.kafka.producer import ACK_TIMEOUT_S, BATCH_BYTES_MAX, RECORD_BYTES_MAX, ProduceError, Producer
from app.topics import Topics

LARGE = {"max.message.bytes": str(RECORD_BYTES_MAX)}


async def made(broker: EmbeddedBroker, name: str, partitions: int = 1, **config: str) -> str:
    async with Admin(broker.bootstrap) as admin:
        settings = {key.replace("_", "."): value for key, value in config.items()}
        await admin.ensure_topics([TopicSpec(name, partitions, 1, settings)])
    return name


async def written(broker: EmbeddedBroker, topic: str, partition: int = 0) -> list[RawRecord]:
    read = BulkRead(topic, partition, 0)
    return [record async for records in BulkReader(broker.bootstrap).read(read) for record in records]


async def test_records_keep_their_order_over_many_batches(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes)
    records = [(b"k%d" % at, b"%07d" % at * 30, [("n", b"%d" % at)]) for at in range(20_000)]
    async with Producer(broker.bootstrap) as producer:
        posted = await producer.post(topic, 0, records)
        first, last = await producer.await_acks(posted)
    assert len(posted) > 2
    assert sum(batch.count for batch in posted) == len(records)
    assert (first, last) == (0, len(records) - 1)
    found = [(record.key, record.value, list(record.headers)) for record in await written(broker, topic)]
    assert found == records


async def test_tombstones_and_empty_values_stay_apart(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes)
    async with Producer(broker.bootstrap) as producer:
        span = await producer.append(topic, 0, [(b"a", None), (b"b", b""), (None, b"c")])
    assert span == (0, 2)
    found = [(record.key, record.value) for record in await written(broker, topic)]
    assert found == [(b"a", None), (b"b", b""), (None, b"c")]


async def test_a_record_larger_than_a_batch_goes_between_small_ones(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.events_raw, max_message_bytes=LARGE["max.message.bytes"])
    large = bytes(5 * BATCH_BYTES_MAX)
    async with Producer(broker.bootstrap) as producer:
        posted = await producer.post(topic, 0, [(None, b"before", ()), (None, large, ()), (None, b"after", ())])
        assert await producer.await_acks(posted) == (0, 2)
    assert [batch.count for batch in posted] == [1, 1, 1]
    assert [record.value for record in await written(broker, topic)] == [b"before", large, b"after"]


async def test_a_record_too_large_is_refused_before_anything_is_sent(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes)
    async with Producer(broker.bootstrap) as producer:
        with pytest.raises(ProduceError, match="larger than"):
            await producer.post(topic, 0, [(None, b"fits", ()), (None, bytes(RECORD_BYTES_MAX + 1), ())])
        assert await producer.append(topic, 0, [(None, b"next")]) == (0, 0)


async def test_send_reaches_every_partition_and_its_span_is_told_by_append(
    broker: EmbeddedBroker, topics: Topics
) -> None:
    topic = await made(broker, topics.changes, partitions=3)
    async with Producer(broker.bootstrap) as producer:
        await producer.send({(topic, at): [(b"%d" % at, b"%d" % each, ()) for each in range(at)] for at in range(3)})
        assert await producer.append(topic, 2, [(b"x", b"1"), (b"x", b"2")]) == (2, 3)
    for at in range(3):
        assert [record.value for record in await written(broker, topic, at)][:at] == [b"%d" % n for n in range(at)]


async def test_a_foreign_record_shows_in_the_span(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes)
    async with Producer(broker.bootstrap) as mine, Producer(broker.bootstrap) as other:
        _, last = await mine.append(topic, 0, [(b"a", b"1")])
        await other.append(topic, 0, [(b"a", b"2")])
        first, _ = await mine.append(topic, 0, [(b"a", b"3")])
    assert first == last + 2


async def test_a_refused_batch_fails_loudly_and_the_producer_goes_on(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes, max_message_bytes="2000")
    async with Producer(broker.bootstrap) as producer:
        assert await producer.append(topic, 0, [(None, b"1")]) == (0, 0)
        posted = await producer.post(topic, 0, [(None, bytes(5000), ())])
        with pytest.raises(ProduceError, match="MessageSizeTooLarge"):
            await producer.await_acks(posted)
        # Without a fresh producer id the broker would refuse this one: the sequence has a gap.
        assert await producer.append(topic, 0, [(None, b"2")]) == (1, 1)


async def test_acks_that_do_not_come_in_time_fail(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes)
    async with Producer(broker.bootstrap, ack_timeout_s=0.5) as producer:
        await producer.append(topic, 0, [(None, b"1")])
        async with Admin(broker.bootstrap) as admin:
            await admin.delete_topic(topic)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        # The client retries a topic that is gone for ever.
        with pytest.raises(ProduceError):
            await producer.append(topic, 0, [(None, b"2")])
        assert loop.time() - started_s < 10


async def test_what_a_failed_client_still_held_fails_with_it(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes, partitions=4)
    async with Producer(broker.bootstrap) as producer:
        for partition in range(4):
            await producer.append(topic, partition, [(None, b"1")])
        async with Admin(broker.bootstrap) as admin:
            await admin.delete_topic(topic)
        posted = [await producer.post(topic, partition, [(None, b"2", ())]) for partition in range(4)]
        with pytest.raises(ProduceError):
            await producer.append(topic, 9, [(None, b"x")])
        # In less time than their own acknowledgements may take.
        async with asyncio.timeout(ACK_TIMEOUT_S / 4):
            ended = await asyncio.gather(*map(producer.await_acks, posted), return_exceptions=True)
        assert [type(each) for each in ended] == [ProduceError] * 4


async def test_a_partition_that_is_not_there_is_an_error(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes)
    async with Producer(broker.bootstrap) as producer:
        with pytest.raises(ProduceError, match=topic):
            await producer.post(topic, 7, [(None, b"x", ())])


async def test_a_stopped_producer_sends_no_more(broker: EmbeddedBroker, topics: Topics) -> None:
    producer = Producer(broker.bootstrap)
    await producer.start()
    await producer.stop()
    with pytest.raises(ProduceError, match="stopped"):
        await producer.append(topics.changes, 0, [(None, b"x")])


async def test_nobody_listening_is_an_error() -> None:
    with pytest.raises(ProduceError, match="no broker of"):
        await Producer(f"127.0.0.1:{free_port()}").start()


async def test_a_producer_that_failed_to_start_may_try_again(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes)
    async with Producer(broker.bootstrap) as producer:
        with pytest.raises(ProduceError):
            await producer.post(topic, 9, [(None, b"x", ())])
        # Calls at the same time share the one new client.
        spans = await asyncio.gather(*(producer.append(topic, 0, [(None, b"x")]) for _ in range(3)))
    assert sorted(spans) == [(0, 0), (1, 1), (2, 2)]
