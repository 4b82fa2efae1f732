"""Tracking calls reach the log of a real broker, in order, before they are answered."""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.api.ingest import Ingest, Spreader
from app.api.runtime import ListenError, run
from app.api.server import NotAcknowledged
from app.embedded.broker import EmbeddedBroker
from app.embedded.home import free_port
from app.kafka.admin import Admin, TopicSpec
from app.kafka.producer import RECORD_BYTES_MAX, Producer
from app.observability import run_file
from app.settings import Api, Kafka, Secret, Settings, Source, WorkerOptions
from app.topics import Topics, partition_of

PARTITIONS = 3


@pytest.fixture
async def topic(broker: EmbeddedBroker, topics: Topics) -> str:
    async with Admin(broker.bootstrap) as admin:
        await admin.ensure_topics([TopicSpec(topics.events_raw, PARTITIONS, 1)])
    return topics.events_raw


async def read(broker: EmbeddedBroker, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
    """All that is there: (partition, key, value)."""
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[tuple[int, bytes | None, bytes | None]] = []
        while len(found) < sum(ends.values()):
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                found += [(place.partition, record.key, record.value) for record in records]
        return found
    finally:
        await consumer.stop()


def test_records_go_where_kafkas_own_clients_would_send_them() -> None:
    spread = Spreader("t", 4).spread([(b"ann", b"1"), (b"bob", b"2"), (b"ann", b"3")])
    assert [value for _, value, _ in spread["t", partition_of(b"ann", 4)] if value in (b"1", b"3")] == [b"1", b"3"]
    assert sum(map(len, spread.values())) == 3


def test_records_without_a_key_go_to_all_in_turn() -> None:
    spread = Spreader("t", 4).spread([(None, b"x")] * 8)
    assert {place: len(records) for place, records in spread.items()} == {("t", number): 2 for number in range(4)}


@pytest.fixture
async def ingest(broker: EmbeddedBroker, topic: str) -> AsyncIterator[Ingest]:
    async with Producer(broker.bootstrap) as producer:
        made = Ingest(producer, Spreader(topic, PARTITIONS))
        task = asyncio.create_task(made.run())
        yield made
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_acknowledged_is_in_the_log_and_in_order(
    broker: EmbeddedBroker, topic: str, ingest: Ingest
) -> None:
    calls = [[(f"u{user}".encode(), f"{user}-{number}".encode()) for number in range(20)] for user in range(50)]
    await asyncio.gather(*(ingest.produce(call) for call in calls))
    found = await read(broker, topic)
    assert len(found) == 1_000
    for user in range(50):
        mine = [value for _, key, value in found if key == f"u{user}".encode()]
        assert mine == [f"{user}-{number}".encode() for number in range(20)]


async def test_a_caller_who_goes_away_does_not_take_others_along(
    broker: EmbeddedBroker, topic: str, ingest: Ingest
) -> None:
    calls = [asyncio.create_task(ingest.produce([(b"k", str(number).encode())])) for number in range(10)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [outcome for outcome in outcomes[1::2] if outcome is not None] == []
    assert {value for _, _, value in await read(broker, topic)} >= {str(number).encode() for number in range(1, 10, 2)}


async def test_what_kafka_cannot_take_is_not_acknowledged_and_ends_nothing(ingest: Ingest) -> None:
    with pytest.raises(NotAcknowledged):
        await ingest.produce([(None, b"x" * (RECORD_BYTES_MAX + 1))])
    await ingest.produce([(None, b"x")])


async def test_who_waits_when_the_process_stops_is_told(broker: EmbeddedBroker, topic: str) -> None:
    async with Producer(broker.bootstrap) as producer:
        ingest = Ingest(producer, Spreader(topic, PARTITIONS))
        task = asyncio.create_task(ingest.run())
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(ingest.produce([(None, b"x")])) for _ in range(3)]
        await asyncio.sleep(0)
        task.cancel()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(outcome, NotAcknowledged) for outcome in outcomes)


def options(tmp_path: Path, broker: EmbeddedBroker) -> WorkerOptions:
    return WorkerOptions(tmp_path, broker.bootstrap, "api", tmp_path / "headwater.yaml")


async def started(tmp_path: Path, task: "asyncio.Task[int]") -> str:
    while True:
        found = run_file.read(tmp_path, "api", pid=os.getpid())
        if found and "api" in found:
            return found["api"]
        if task.done():
            raise AssertionError(f"ended early: {task.exception()!r}")
        await asyncio.sleep(0.02)


async def test_the_process_serves_and_stops_cleanly(
    tmp_path: Path, broker: EmbeddedBroker, topics: Topics, topic: str
) -> None:
    settings = Settings(
        kafka=Kafka(topic_prefix=topics.prefix, partitions=PARTITIONS),
        sources=(Source("web", Secret("key")),),
        api=Api(port=0),
    )
    task = asyncio.create_task(run(settings, options(tmp_path, broker)))
    async with asyncio.timeout(60):
        address = await started(tmp_path, task)
        health = (run_file.read(tmp_path, "api") or {})["health"]
        async with aiohttp.ClientSession() as session:
            body = {"writeKey": "key", "batch": [{"type": "track", "event": "E", "userId": "ann"}]}
            async with session.post(f"{address}/v1/batch", json=body) as reply:
                assert reply.status == 200
            for url in (f"{address}/health/ready", f"{health}/health/ready", f"{health}/metrics"):
                async with session.get(url) as reply:
                    assert reply.status == 200, url
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run_file.read(tmp_path, "api") is None
    ((partition, key, value),) = await read(broker, topic)
    assert (partition, key) == (partition_of(b"ann", PARTITIONS), b"ann")
    assert json.loads(value or b"")["sourceId"] == "web"


async def test_calls_that_wait_for_kafka_are_answered_before_the_process_stops(
    tmp_path: Path, broker: EmbeddedBroker, topics: Topics, topic: str
) -> None:
    settings = Settings(
        kafka=Kafka(topic_prefix=topics.prefix, partitions=PARTITIONS),
        sources=(Source("web", Secret("key")),),
        api=Api(port=0),
    )
    task = asyncio.create_task(run(settings, options(tmp_path, broker)))
    address = await started(tmp_path, task)
    answered: list[str] = []
    refused: list[int] = []

    async def caller(session: aiohttp.ClientSession, name: int) -> None:
        for number in itertools.count():
            body = {"writeKey": "key", "event": "E", "userId": "ann", "messageId": f"{name}-{number}"}
            async with session.post(f"{address}/v1/track", json=body) as reply:
                if reply.status != 200:
                    refused.append(reply.status)
                answered.append(f"{name}-{number}")
            if len(answered) == 300:
                # A little later: right now Kafka has just answered, and nobody waits for it.
                asyncio.get_running_loop().call_later(0.002, task.cancel)

    async with aiohttp.ClientSession() as session:
        outcomes = await asyncio.gather(*(caller(session, name) for name in range(20)), return_exceptions=True)
    # A call whose body had not arrived yet is cut off, which every SDK repeats; none is told that it failed.
    assert {type(outcome) for outcome in outcomes} <= {
        aiohttp.ServerDisconnectedError,
        aiohttp.ClientConnectorError,
        aiohttp.ClientOSError,
    }
    assert not refused
    await asyncio.gather(task, return_exceptions=True)
    assert {json.loads(value or b"")["messageId"] for _, _, value in await read(broker, topic)} >= set(answered)


async def test_an_address_that_is_taken_is_named(tmp_path: Path, broker: EmbeddedBroker) -> None:
    port = free_port()
    taken = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", port)
    async with taken:
        with pytest.raises(ListenError, match=str(port)):
            await run(Settings(api=Api(port=port)), options(tmp_path, broker))
