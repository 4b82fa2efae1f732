"""On a broker: a destination that is connected later hears who is in, and one list has all of them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import orjson

from app import configuration
from app.cli.apply import put_into_effect
from app.embedded.broker import EmbeddedBroker
from app.kafka.consumer import BulkRead, BulkReader
from app.topics import Topics, partition_of
from tests.faults.deployment import Deployment, deployed

PARTITIONS = 2
DEADLINE_S = 90.0
POLL_S = 0.1
PEOPLE = [f"u-{number}" for number in range(60)]
LATER: list[dict[str, Any]] = [
    {"name": "later", "type": "kafka", "connect": [{"trait": "orders"}]},
    {
        "name": "ads",
        "type": "klaviyo_lists",
        "settings": {"api_key": "k"},
        "connect": [{"audience": "buyers"}],
    },
    {"name": "fresh", "type": "kafka", "connect": [{"audience": "buyers", "historical": False}]},
]


def document(topics: Topics, brokers: str) -> dict[str, Any]:
    return {
        "kafka": {"brokers": brokers, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "audiences": [{"key": "buyers", "query": "event('Order').count() >= 2"}],
        "traits": [{"key": "orders", "query": "event('Order').count()"}],
        "destinations": [{"name": "crm", "type": "kafka", "connect": [{"audience": "buyers"}, {"trait": "orders"}]}],
    }


async def order(deployment: Deployment, people: list[str], number: int) -> None:
    for person in people:
        value = {"type": "track", "event": "Order", "messageId": f"{person}-{number}", "userId": person,
                 "context": {"traits": {"email": f"{person}@example.com"}}}  # fmt: skip
        place = (deployment.topics.events_raw, partition_of(person.encode(), PARTITIONS))
        await deployment.producer.send({place: [(person.encode(), orjson.dumps(value), ())]})


async def told(deployment: Deployment, name: str, partitions: int = PARTITIONS) -> list[tuple[str, str, object]]:
    """(user, origin, value) of each payload of a destination."""
    found = []
    for partition in range(partitions):
        read = BulkRead(deployment.topics.destination(name), partition, 0)
        async for batch in BulkReader(deployment.brokers).read(read):
            payloads = [orjson.loads(record.value or b"{}") for record in batch]
            calls = [(payload["payload"], payload["origin"]) for payload in payloads]
            found += [(call["userId"], origin, next(iter(call["traits"].values()))) for call, origin in calls]
    return found


async def has(deployment: Deployment, name: str, count: int, partitions: int = PARTITIONS) -> None:
    """Wait until a destination has so many payloads."""
    deadline_s = time.monotonic() + DEADLINE_S
    while len(await told(deployment, name, partitions)) < count:
        assert time.monotonic() < deadline_s, f"{name} never had {count} payloads"
        await asyncio.sleep(POLL_S)


async def test_a_destination_that_is_connected_later_hears_of_everybody(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    config = document(topics, broker.bootstrap)
    async with deployed(broker.bootstrap, tmp_path / "one", config) as deployment:
        await deployment.start()
        await order(deployment, PEOPLE, 1)
        await order(deployment, PEOPLE[:20], 2)
        await deployment.ready()
        await deployment.at_rest(0.5)
        before = await told(deployment, "crm")
        config["destinations"] += LATER
        changed = Deployment(broker.bootstrap, tmp_path / "two", config)
        await put_into_effect(changed.settings, broker.bootstrap)
        await has(deployment, "ads", 20, 1)
        await has(deployment, "later", len(PEOPLE))
        await deployment.at_rest(0.5)
        assert sorted(await told(deployment, "ads", 1)) == sorted((person, "resync", True) for person in PEOPLE[:20])
        assert sorted(await told(deployment, "later")) == sorted(
            (person, "resync", 1 + (person in PEOPLE[:20])) for person in PEOPLE
        )
        assert await told(deployment, "fresh") == []
        assert await told(deployment, "crm") == before
        await put_into_effect(configuration.open_configuration(changed.config, {}).settings, broker.bootstrap)
        await order(deployment, PEOPLE[20:21], 2)
        await deployment.at_rest(0.5)
        assert [each for each in await told(deployment, "later") if each[1] == "live"] == [(PEOPLE[20], "live", 2)]
        assert len(await told(deployment, "ads", 1)) == 21
        await deployment.stop()
