"""`headwater up` as its users meet it: a line when it serves, work, a clean end, and a state that survives."""

import asyncio
import contextlib
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
from aiokafka import AIOKafkaConsumer

from tests.cli.program import headwater

CONFIG = """\
kafka: {partitions: 2}
sources: [{id: web, write_key: key-of-web}]
api: {port: 0}
audiences:
  - {key: buyers, query: "event('Order Completed').count() >= 2"}
destinations:
  - name: feed
    type: kafka
    connect: [{audience: buyers, calls: [track]}]
"""
TIMEOUT_S = 150


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Process, dict[str, str]]]:
    """The process, and what its line says."""
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "up", "--config", folder / "headwater.yaml", "--data", folder / "data"),
            stdout=PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(TIMEOUT_S):
            line = await process.stdout.readline()
        assert line, (folder / "log").read_text()[-3_000:]
        yield process, json.loads(line)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(60):
            await process.wait()


async def ordered(address: str) -> None:
    """An order by Ann, over HTTP."""
    body = {"writeKey": "key-of-web", "userId": "ann", "event": "Order Completed"}
    async with aiohttp.ClientSession() as session, session.post(f"{address}/v1/track", json=body) as reply:
        assert reply.status == 200


async def entered(brokers: str) -> dict[str, object]:
    """The first payload on the destination's topic."""
    consumer = AIOKafkaConsumer("destinations.feed", bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            record = await consumer.getone()
        found = json.loads(record.value or b"")
        assert isinstance(found, dict)
        return found
    finally:
        await consumer.stop()


async def test_it_serves_stops_cleanly_and_remembers(tmp_path: Path) -> None:
    (tmp_path / "headwater.yaml").write_text(CONFIG)
    async with running(tmp_path) as (process, told):
        assert told.pop("ready") is True
        assert set(told) == {"api", "kafka"}
        await ordered(told["api"])
        again = await asyncio.to_thread(
            headwater, "up", "--config", tmp_path / "headwater.yaml", "--data", tmp_path / "data"
        )
        assert again.returncode == 1
        assert "another headwater is running" in again.stderr
        below = psutil.Process(process.pid).children(recursive=True)
        assert len(below) >= 4  # a broker, stream, delivery, API
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await process.wait() == 0
        assert not [child for child in below if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    (tmp_path / "events.jsonl").write_text('{"type": "track", "userId": "ann", "event": "Order Completed"}\n')
    async with running(tmp_path) as (_, told):
        sent = await asyncio.to_thread(
            headwater,
            *("send", tmp_path / "events.jsonl", "--config", tmp_path / "headwater.yaml", "--data", tmp_path / "data"),
        )
        assert (sent.returncode, sent.stderr) == (0, "")
        payload = await entered(told["kafka"])
        assert payload["computation"] == {"class": "audience", "id": payload["computation"]["id"], "key": "buyers"}  # type: ignore[index]
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert "key-of-web" not in (tmp_path / "log").read_text()


async def test_a_broker_that_dies_ends_it(tmp_path: Path) -> None:
    (tmp_path / "headwater.yaml").write_text(CONFIG)
    async with running(tmp_path) as (process, _):
        brokers = [one for one in psutil.Process(process.pid).children(recursive=True) if "java" in one.name()]
        assert len(brokers) == 1
        brokers[0].kill()
        async with asyncio.timeout(120):
            assert await process.wait() == 1
    assert "the broker ended with code" in (tmp_path / "log").read_text()
