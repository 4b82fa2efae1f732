"""A definition is edited while the stream runs: everybody it concerns changes, and no event is needed for that."""

from __future__ import annotations

from pathlib import Path

import orjson

from app import configuration
from app.embedded.broker import EmbeddedBroker
from app.stream.announce import announce
from app.topics import Topics, partition_of
from tests.faults.deployment import Deployment, deployed

PARTITIONS = 2
USERS = 300
OTHERS = 50


async def orders(deployment: Deployment, counts: dict[str, int]) -> None:
    for user, count in counts.items():
        value = orjson.dumps({"type": "track", "event": "Order", "userId": user})
        place = (deployment.topics.events_raw, partition_of(user.encode(), PARTITIONS))
        await deployment.producer.send({place: [(user.encode(), value, ())] * count})


async def entered(deployment: Deployment) -> dict[str, list[str]]:
    """Profile → the ids of its changes, all of which are entries."""
    found: dict[str, list[str]] = {}
    for records in await deployment.read(deployment.topics.changes):
        for record in records:
            data = orjson.loads(record.value or b"")
            assert data["value"] is True
            found.setdefault(data["profile"], []).append(dict(record.headers)["ce_id"].decode())
    return found


async def test_an_edit_reaches_everybody_also_through_a_kill(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    document = {
        "kafka": {"brokers": broker.bootstrap, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "audiences": [{"key": "buyers", "query": "event('Order').count() >= 3"}],
    }
    counts = {f"u{number}": 2 for number in range(USERS)} | {f"o{number}": 1 for number in range(OTHERS)}
    async with deployed(broker.bootstrap, tmp_path, document) as deployment:
        await deployment.start()
        await deployment.ready()
        await orders(deployment, counts)
        await deployment.at_rest(0.2)
        assert await entered(deployment) == {}
        deployment.config.write_text(deployment.config.read_text().replace(">= 3", ">= 2"))
        await announce(configuration.open_configuration(deployment.config, {}).settings, broker.bootstrap)
        await deployment.kill()
        await deployment.start()
        await deployment.ready()
        await deployment.at_rest(2.0)
        await deployment.stop()
        found = await entered(deployment)
    assert len(found) == USERS
    assert all(len(set(ids)) == 1 for ids in found.values())
