"""On a broker: a destination that is connected later is told at its vendor's pace, and what is live does not wait."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from app import configuration
from app.cli.apply import put_into_effect
from app.delivery.runtime import Runtime as DeliveryRuntime
from app.embedded.broker import EmbeddedBroker
from app.settings import WorkerOptions
from app.stream import resyncs
from app.stream.runtime import Runtime as StreamRuntime
from app.topics import Topics, partition_of
from tests.delivery.records import SECRET
from tests.faults.deployment import Deployment, deployed
from tests.vendor import Arrival, Vendor

PARTITIONS = 2
AHEAD = 60
PEOPLE = [f"u-{number}" for number in range(160)]
DEADLINE_S = 90.0
POLL_S = 0.1


class Shop(Vendor):
    """A vendor that answers nobody before `opens` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.opens = asyncio.Event()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        reply = await super()._answer(request)
        await self.opens.wait()
        return reply

    def values(self) -> dict[str, list[int]]:
        """Person → what was told of them, in order."""
        found: dict[str, list[int]] = defaultdict(list)
        for arrival in self.arrivals:
            person, value = said(arrival)
            found[person].append(value)
        return found


def said(arrival: Arrival) -> tuple[str, int]:
    call: Any = arrival.json
    return call["userId"], call["traits"]["orders"]


def document(topics: Topics, brokers: str) -> dict[str, Any]:
    return {
        "kafka": {"brokers": brokers, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "traits": [{"key": "orders", "query": "event('Order').count()"}],
        "destinations": [{"name": "feed", "type": "kafka", "connect": [{"trait": "orders"}]}],
        "delivery": {"allow_networks": ["127.0.0.1/32"], "in_flight_max": 1},
    }


async def order(deployment: Deployment, people: list[str], number: int) -> None:
    batches: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for person in people:
        value = {"type": "track", "event": "Order", "messageId": f"{person}-{number}", "userId": person}
        place = (deployment.topics.events_raw, partition_of(person.encode(), PARTITIONS))
        batches[place].append((person.encode(), orjson.dumps(value), ()))
    await deployment.producer.send(batches)


async def payloads(deployment: Deployment, name: str) -> list[dict[str, Any]]:
    partitions = await deployment.read(deployment.topics.destination(name))
    return [orjson.loads(record.value or b"") for records in partitions for record in records]


async def has(deployment: Deployment, name: str, count: int) -> list[dict[str, Any]]:
    """A destination's payloads, once there are so many."""
    deadline_s = time.monotonic() + DEADLINE_S
    while len(found := await payloads(deployment, name)) < count:
        assert time.monotonic() < deadline_s, f"{name} never had {count} payloads, but {len(found)}"
        await asyncio.sleep(POLL_S)
    return found


@asynccontextmanager
async def served(runtime: StreamRuntime | DeliveryRuntime) -> AsyncIterator[None]:
    """It serves meanwhile, in this process."""

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            await runtime.serve(stack)

    task = asyncio.create_task(serve())
    try:
        yield
        assert not task.done(), "the worker has ended"
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.timeout(300)
async def test_a_live_change_is_not_behind_a_resync(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resyncs, "AHEAD_MAX", AHEAD)
    config = document(topics, broker.bootstrap)
    async with AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(deployed(broker.bootstrap, tmp_path / "one", config))
        shop = await stack.enter_async_context(Shop())
        options = WorkerOptions(deployment.data_dir, broker.bootstrap, "stream-0", deployment.config)
        await stack.enter_async_context(served(StreamRuntime(deployment.settings, options)))
        await order(deployment, PEOPLE, 1)
        await has(deployment, "feed", len(PEOPLE))

        mail = {"url": shop.url, "secret": SECRET, "timeout_s": 120}
        config["destinations"].append(
            {"name": "mail", "type": "webhook", "settings": mail, "connect": [{"trait": "orders"}]}
        )
        changed = Deployment(broker.bootstrap, tmp_path / "two", config)
        await put_into_effect(changed.settings, broker.bootstrap)
        options = WorkerOptions(changed.data_dir, broker.bootstrap, "delivery-0", changed.config)
        settings = configuration.open_configuration(changed.config, {}).settings
        await stack.enter_async_context(served(DeliveryRuntime(settings, options)))
        await shop.until(lambda: bool(shop.arrivals), timeout_s=DEADLINE_S)
        waiting = {payload["payload"]["userId"] for payload in await has(deployment, "mail", AHEAD)}
        assert len(waiting) == AHEAD, "it runs ahead of its vendor"
        live = next(person for person in PEOPLE if person not in waiting)
        await order(deployment, [live], 2)
        told = await has(deployment, "mail", AHEAD + 1)
        assert [payload["origin"] for payload in told].count("resync") == AHEAD, "it runs ahead of its vendor"
        assert [payload["payload"]["userId"] for payload in told if payload["origin"] == "live"] == [live]

        shop.opens.set()
        await shop.until(lambda: live in shop.values(), timeout_s=DEADLINE_S)
        assert [said(arrival) for arrival in shop.arrivals].index((live, 2)) <= AHEAD
        await shop.until(lambda: set(shop.values()) == set(PEOPLE), timeout_s=DEADLINE_S)
        for person, values in shop.values().items():
            assert values == sorted(values)
            assert values[-1] == 1 + (person == live)
