"""A person is erased on a real broker while the workers are killed: no trace is left, and there is no way back."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random, randrange
from typing import Any

import orjson

from app.cli.orphans import PARENT_VARIABLE
from app.clock import SystemClock
from app.embedded.broker import EmbeddedBroker
from app.kafka.consumer import BulkRead, BulkReader
from app.stream.store import PartitionStore, StoreBudget, StoreShare
from app.topics import Topics
from tests.cli.program import headwater
from tests.faults.deployment import WORKER, Deployment, deployed
from tests.vendor import Arrival, Reply, Vendor

PARTITIONS = 2
DEVICE, USER, MAIL = "canary-device", "canary-user", "canary-mail@example.com"


def document(topics: Topics, brokers: str, url: str) -> dict[str, Any]:
    connect = [{"audience": "buyers", "calls": ["identify"]}, {"trait": "note", "calls": ["identify"]}]
    return {
        "kafka": {"brokers": brokers, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "delivery": {"allow_networks": ["127.0.0.1/32"]},
        "stream": {"flush_interval_s": 1.0},
        "audiences": [{"key": "buyers", "query": "event('Order').count() >= 2"}],
        "traits": [{"key": "note", "query": "event('Order').last(property('note'))"},
                   {"key": "notes", "query": "event('Order').unique(property('note'))"}],
        "destinations": [
            {"name": "crm", "type": "webhook", "settings": {"url": url, "secret": "secret-of-the-hook"},
             "connect": connect},
            {"name": "lake", "type": "kafka", "connect": connect},
        ],
    }  # fmt: skip


def order(number: int, note: str = "canary-note", **ids: Any) -> dict[str, Any]:
    properties = {"note": f"{note}-{number}"}
    return {"type": "track", "event": "Order", "messageId": f"m{number}", "properties": properties, **ids}


def story() -> list[dict[str, Any]]:
    """Two profiles of one person that become one, and somebody else."""
    mine = [order(number, anonymousId=DEVICE) for number in range(3)]
    mine += [order(number, userId=USER) for number in range(3, 6)]
    login = {"type": "identify", "messageId": "in", "userId": USER, "anonymousId": DEVICE,
             "traits": {"email": MAIL, "name": "canary-name"}}  # fmt: skip
    others = [order(100 + number, "note", userId="bob") for number in range(3)]
    return [*mine, *others, login, order(6, userId=USER, anonymousId=DEVICE)]


async def send(deployment: Deployment, messages: list[dict[str, Any]], seed: int) -> None:
    chance = Random(seed)
    for message in messages:
        place = deployment.topics.events_raw, chance.randrange(PARTITIONS)
        await deployment.producer.send({place: [(None, orjson.dumps(message), ())]})


@asynccontextmanager
async def delivering(deployment: Deployment) -> AsyncIterator[None]:
    """A delivery worker beside the stream's."""
    with deployment.log_path.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "worker", "delivery", "--name", "delivery-0"),
            *("--config", str(deployment.config), "--data", str(deployment.data_dir)),
            *("--brokers", deployment.brokers),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        async with asyncio.timeout(60):
            await process.wait()


def stored(deployment: Deployment) -> Iterator[tuple[str, bytes, bytes]]:
    """Every key and value of every store of the stopped worker, by the stores' own way of reading."""
    share = StoreShare(StoreBudget(8 << 20, 8 << 20))
    directories = [*sorted((deployment.data_dir / WORKER).glob("*-[0-9]")), deployment.data_dir / WORKER / "graph"]
    for directory in directories:
        store = PartitionStore(directory, 0, share, SystemClock().now_ms)
        try:
            for key in store.keys(b""):
                yield directory.name, key, store.get(key) or b""
        finally:
            store.close()


async def newest(deployment: Deployment) -> AsyncIterator[tuple[str, bytes, bytes]]:
    """The latest value of every key in the compacted topics."""
    topics = deployment.topics
    several = (topics.profiles_changelog, topics.identity_assignments)
    for topic in (*several, topics.identity_changelog, topics.regulations):
        partitions = await deployment.read(topic) if topic in several else [await one_partition(deployment, topic)]
        for records in partitions:
            for key, value in {record.key: record.value for record in records}.items():
                if value is not None:
                    yield topic, key or b"", value


async def one_partition(deployment: Deployment, topic: str) -> list[Any]:
    reader = BulkReader(deployment.brokers)
    start = (await deployment.admin.beginning_offsets([(topic, 0)]))[topic, 0]
    return [record async for batch in reader.read(BulkRead(topic, 0, start)) for record in batch]


def regulation(deployment: Deployment, *arguments: str) -> dict[str, Any]:
    done = headwater("regulation", *arguments, "--json", "--config", deployment.config, "--brokers", deployment.brokers)
    assert done.returncode == 0, done.stderr + "\n" + deployment.log_end()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def appended(deployment: Deployment) -> list[dict[str, Any]]:
    """The events of `profiles.in` that are about the person."""
    bodies = [
        orjson.loads(record.value or b"")
        for records in await deployment.read(deployment.topics.profiles_in)
        for record in records
    ]
    return [each for each in bodies if each["kind"] == "event" and b"canary" in orjson.dumps(each)]


async def test_nobody_who_is_erased_leaves_a_trace_or_comes_back(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    seed = randrange(2**32)
    print(f"seed {seed}")
    chance = Random(seed)

    def script(arrival: Arrival) -> Reply:
        # The vendor is down for whatever tells the person's last note: that payload waits to be tried again.
        return Reply(503) if b"canary-note-6" in arrival.body else Reply()

    async with Vendor(script) as vendor:
        made = document(topics, broker.bootstrap, vendor.url)
        async with deployed(broker.bootstrap, tmp_path, made) as deployment:
            await deployment.start()
            await deployment.ready()
            async with delivering(deployment):
                await send(deployment, story(), seed)
                await deployment.at_rest(0.5)
                await vendor.until(lambda: any(b"canary-note-6" in each.body for each in vendor.arrivals))
                waiting = asyncio.create_task(
                    asyncio.to_thread(
                        regulation, deployment, "create", "SUPPRESS_WITH_DELETE", f"email:{MAIL}", "--wait"
                    )
                )
                await deployment.died(3.0 * chance.random())
                await deployment.kill()
                await deployment.start()
                receipt = await waiting
                await check_told(vendor, receipt)
                await deployment.ready()
                before = await appended(deployment)
                await send(deployment, story(), seed + 1)
                await deployment.at_rest(0.5)
                assert await appended(deployment) == before, "what a suppressed person sends comes no further"
                # Flushed and compacted a second after it was committed.
                await deployment.died(2.5)
                await deployment.stop()
                check_stores(deployment)
                async for topic, key, value in newest(deployment):
                    assert b"canary" not in key + value, topic
                await deployment.start()
                await deployment.ready()
                lifted = await asyncio.to_thread(
                    regulation, deployment, "create", "UNSUPPRESS", f"anonymous_id:{DEVICE}", "--wait"
                )
                assert lifted["identifiers"]["lifted"] == 3
                await send(deployment, [order(200, userId=USER)], seed)
                await deployment.at_rest(0.5)
                again = [each for each in await appended(deployment) if each.get("id") == "m:m200"]
                assert len(again) == 1
                listed = headwater("regulation", "list", "--config", deployment.config, "--brokers", broker.bootstrap)
                assert listed.stdout.count("FINISHED") == 2


async def check_told(vendor: Vendor, receipt: dict[str, Any]) -> None:
    assert receipt["state"] == "FINISHED"
    assert receipt["identifiers"] == {"erased": 3, "suppressed": 3, "lifted": 0}
    assert len(receipt["profiles"]) == 2
    (destination,) = receipt["destinations"]
    assert destination["outcomes"] == {"delivered": 1}
    assert destination["payloads_dropped"] >= 1
    assert receipt["in_their_topics"] == ["lake"]
    assert {each["topic"].split(".", 1)[1] for each in receipt["remains"]} >= {"events.raw", "profiles.in"}
    assert all(each["until"] is not None for each in receipt["remains"]), receipt["remains"]
    mine = [each.json for each in vendor.arrivals if each.json.get("userId") == USER]
    assert mine[-1]["type"] == "delete"
    exits = [each for each in mine if each.get("traits", {}).get("buyers") is False]  # type: ignore[attr-defined]
    assert exits


def check_stores(deployment: Deployment) -> None:
    names = set()
    for name, key, value in stored(deployment):
        names.add(name)
        assert b"canary" not in key + value, (name, key)
    assert names == {"graph", "identifiers-0", "identifiers-1", "profiles-0", "profiles-1"}
    for file in (deployment.data_dir / WORKER).rglob("*.sst"):
        assert b"canary" not in file.read_bytes(), file
