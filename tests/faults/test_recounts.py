"""Two who have counted messages of the same ids become one, on a broker, and the worker is killed in the middle."""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Any

import orjson

from app.activation.wire import iso
from app.embedded.broker import EmbeddedBroker
from app.profiles import codec
from app.topics import Topics, partition_of
from tests.faults.deployment import Deployment, deployed

PARTITIONS = 2
ORDERS, TWINS = 30, 7
"""Of each device; and how many of the second's are the first's, sent once more by another that it takes itself for."""


def order(device: str, number: int, at_ms: int) -> dict[str, Any]:
    return {
        "type": "track", "event": "Order", "messageId": f"m{number}", "anonymousId": device, "timestamp": iso(at_ms),
        "properties": {"price": number},
    }  # fmt: skip


async def send(deployment: Deployment, messages: list[dict[str, Any]]) -> None:
    for message in messages:
        key = message["anonymousId"].encode()
        place = deployment.topics.events_raw, partition_of(key, PARTITIONS)
        await deployment.producer.send({place: [(key, orjson.dumps(message), ())]})


async def test_what_two_have_counted_under_one_id_counts_once(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    document = {
        "kafka": {"brokers": broker.bootstrap, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "traits": [
            {"key": "orders", "query": "event('Order').count()"},
            {"key": "spent", "query": "event('Order').within(1 day).sum(property('price'))"},
        ],
    }
    start_ms = int(time() * 1_000) - 3_600_000
    phone = [order("phone", number, start_ms + number) for number in range(ORDERS)]
    laptop = [order("laptop", number, start_ms + number) for number in range(ORDERS - TWINS, 2 * ORDERS - TWINS)]
    links = [
        {"type": "identify", "messageId": f"in-{device}", "userId": "ann", "anonymousId": device}
        for device in ("phone", "laptop")
    ]
    async with deployed(broker.bootstrap, tmp_path, document) as deployment:
        await deployment.start("mid_split:1")
        await deployment.ready()
        await send(deployment, [*phone, *laptop])
        await deployment.at_rest(0.2)
        await send(deployment, links)
        assert await deployment.died(60.0) is not None, "killed when what came of the recount was sent"
        await deployment.start()
        await deployment.ready()
        await deployment.at_rest(0.5)
        await deployment.stop()
        found = [codec.decode(data) for stored in deployment.stored() for data in stored.profiles.values()]
        changes = [
            orjson.loads(each.value or b"")
            for records in await deployment.read(deployment.topics.changes) for each in records
        ]  # fmt: skip
    (only,) = [each for each in found if each.emitted]
    together = 2 * ORDERS - TWINS
    assert only.emitted == {"orders": together, "spent": sum(range(together))}
    counts = [each["value"] for each in changes if each["key"] == "orders"]
    assert max(counts) == together, "and nobody has seen more"
