import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from app.embedded.broker import EmbeddedBroker
from app.embedded.home import free_port
from app.kafka.admin import Admin, TopicSpec
from app.kafka.consumer import BulkRead, BulkReader, LogFollower, RawRecord, ReadError, decode
from app.kafka.producer import Producer
from app.topics import Topics

COMPACTED = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "segment.ms": "1",
    "delete.retention.ms": "0",
}


async def made(broker: EmbeddedBroker, name: str, partitions: int, config: dict[str, str] | None = None) -> str:
    async with Admin(broker.bootstrap) as admin:
        await admin.ensure_topics([TopicSpec(name, partitions, 1, config or {})])
    return name


async def read(broker: EmbeddedBroker, wanted: BulkRead) -> list[RawRecord]:
    async with asyncio.timeout(30):
        return [record async for records in BulkReader(broker.bootstrap).read(wanted) for record in records]


async def transact(broker: EmbeddedBroker, topic: str, values: list[bytes], *, commit: bool) -> None:
    """Write a transaction; its marker takes the offset after its records."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic)
    await producer.start()
    try:
        await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(topic, value, key=b"t", partition=0)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    finally:
        await producer.stop()


async def end_reaches(broker: EmbeddedBroker, topic: str, end: int) -> None:
    """Markers are written after the commit was answered; each look is a round trip to the broker."""
    async with asyncio.timeout(30), Admin(broker.bootstrap) as admin:
        while (await admin.end_offsets([(topic, 0)]))[topic, 0] < end:
            pass


async def test_exactly_the_stretch_is_read(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes, 1)
    async with Producer(broker.bootstrap) as producer:
        await producer.append(topic, 0, [(b"k", b"%d" % at) for at in range(100)])
    # Both bounds lie inside one batch, which the broker sends whole.
    assert [record.offset for record in await read(broker, BulkRead(topic, 0, 17, 42))] == list(range(17, 42))
    assert [record.offset for record in await read(broker, BulkRead(topic, 0, 17))] == list(range(17, 100))
    assert await read(broker, BulkRead(topic, 0, 100)) == []
    assert await read(broker, BulkRead(topic, 0, 5, 5)) == []


async def test_an_empty_partition_has_an_end_too(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes, 1)
    assert await read(broker, BulkRead(topic, 0, 0)) == []


async def test_a_read_ends_where_the_log_ended_when_it_began(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes, 1)
    value = bytes(500_000)
    async with Producer(broker.bootstrap) as producer:
        await producer.append(topic, 0, [(None, value)] * 30)
        seen = 0
        async for records in BulkReader(broker.bootstrap).read(BulkRead(topic, 0, 0)):
            assert sum(len(record.value or b"") for record in records) < 6_000_000, "an answer is bounded"
            seen += len(records)
            # Written while the read is under way: not its business, or it might never end.
            await producer.append(topic, 0, [(None, value)])
    assert seen == 30


async def test_a_transaction_marker_at_the_tail_does_not_hang_the_read(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes, 1)
    await transact(broker, topic, [b"1", b"2"], commit=True)
    await end_reaches(broker, topic, 3)
    assert [record.value for record in await read(broker, BulkRead(topic, 0, 0, 3))] == [b"1", b"2"]
    assert await read(broker, BulkRead(topic, 0, 2, 3)) == []


async def test_compaction_leaves_gaps_and_the_read_still_ends(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.profiles_changelog, 1, COMPACTED)
    async with Producer(broker.bootstrap) as producer:
        for at in range(6):
            await producer.append(topic, 0, [(b"same", b"%d" % at), (b"only%d" % at, b"x")])
    await transact(broker, topic, [b"aborted"], commit=False)
    end = 12 + 2
    await end_reaches(broker, topic, end)
    async with asyncio.timeout(30):
        offsets = list(range(end))
        # Compaction runs in its own time; each look is a round trip to the broker.
        while len(offsets) > 8:
            offsets = [record.offset for record in await read(broker, BulkRead(topic, 0, 0, end))]
    assert offsets == sorted(offsets)
    last = {record.key: record.value for record in await read(broker, BulkRead(topic, 0, 0, end))}
    last.pop(b"t", None)
    assert last == {b"same": b"5"} | {b"only%d" % at: b"x" for at in range(6)}


async def test_partitions_are_read_side_by_side(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes, 4)
    async with Producer(broker.bootstrap) as producer:
        await producer.send({(topic, at): [(b"k", b"%d" % at, ())] * 500 for at in range(4)})
    found = await asyncio.gather(*(read(broker, BulkRead(topic, at, 0)) for at in range(4)))
    for at, records in enumerate(found):
        assert {record.value for record in records} == {b"%d" % at}
        assert len(records) == 500


async def test_a_start_below_the_log_is_an_error_that_says_where_it_begins(
    broker: EmbeddedBroker, topics: Topics
) -> None:
    topic = await made(broker, topics.changes, 1)
    async with Producer(broker.bootstrap) as producer:
        await producer.append(topic, 0, [(None, b"x")] * 10)
    async with Admin(broker.bootstrap) as admin:
        await admin.delete_records(topic, 0, 4)
        assert await admin.beginning_offsets([(topic, 0)]) == {(topic, 0): 4}
    with pytest.raises(ReadError, match="offset 2 is not in the log, which begins at 4"):
        await read(broker, BulkRead(topic, 0, 2))
    assert len(await read(broker, BulkRead(topic, 0, 4))) == 6


async def test_a_log_that_ends_too_early_is_an_error(
    broker: EmbeddedBroker, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.kafka.consumer.STALL_TIMEOUT_S", 1.0)
    topic = await made(broker, topics.changes, 1)
    async with Producer(broker.bootstrap) as producer:
        await producer.append(topic, 0, [(None, b"x")] * 10)
    with pytest.raises(ReadError, match=r"stuck at 10 of 12 .* the log ends at 10"):
        await read(broker, BulkRead(topic, 0, 0, 12))


async def test_nobody_listening_is_an_error() -> None:
    reading = BulkReader(f"127.0.0.1:{free_port()}").read(BulkRead("any", 0, 0))
    with pytest.raises(ReadError, match="no broker of"):
        await anext(reading)


async def test_a_read_that_is_left_early_leaves_nothing_behind(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes, 1)
    async with Producer(broker.bootstrap) as producer:
        await producer.append(topic, 0, [(None, bytes(500_000))] * 30)
    before = asyncio.all_tasks()
    reading = BulkReader(broker.bootstrap).read(BulkRead(topic, 0, 0))
    assert await anext(reading)
    await reading.aclose()
    assert asyncio.all_tasks() == before


def test_a_damaged_batch_is_refused() -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1000)
    builder.append(0, 1, b"key", b"value", [])
    whole = bytes(builder.build())
    stretch = BulkRead("t", 0, 0)
    records, position = decode(stretch, whole, 0, 1)
    assert [record.value for record in records] == [b"value"]
    assert position == 1
    with pytest.raises(ReadError, match="checksum"):
        decode(stretch, whole.replace(b"value", b"valve"), 0, 1)
    with pytest.raises(ReadError, match="cut short"):
        decode(stretch, whole[:-2], 0, 1)


async def test_a_follower_sees_what_was_and_what_comes(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = await made(broker, topics.changes, 2)
    async with Producer(broker.bootstrap) as producer, LogFollower(broker.bootstrap, [topic]) as follower:
        await producer.send({(topic, at): [(b"k", b"old", ())] for at in range(2)})
        seen: list[tuple[int, bytes | None]] = []
        async with asyncio.timeout(20):
            async for records in follower:
                seen += [(record.partition, record.value) for record in records]
                if len(seen) == 2:
                    await producer.append(topic, 1, [(b"k", b"new")])
                if len(seen) == 3:
                    break
    assert sorted(seen[:2]) == [(0, b"old"), (1, b"old")]
    assert seen[2] == (1, b"new")
