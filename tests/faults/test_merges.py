"""Two people of ten thousand events each turn out to be one while both go on, and the worker is killed on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from time import monotonic, time
from typing import Any

import orjson

from app.activation.wire import iso
from app.embedded.broker import EmbeddedBroker
from app.kafka.consumer import RawRecord
from app.profiles import codec
from app.profiles.state import Profile
from app.topics import Topics, partition_of
from tests.faults.deployment import Deployment, deployed
from tests.oracle.evaluate import evaluate
from tests.oracle.language import parse
from tests.oracle.profiles import Directory, Record, TraitView
from tests.oracle.values import same

SEED = 1905
EVENTS = 10_000
"""Of each of the two."""
PARTITIONS = 2
SPAN_MS = 20 * 3_600_000
"""The events lie in that time before the test: within its windows, and hours from their ends."""
DEVICES = ("phone", "laptop")
TRAITS = {
    "orders": "event('Order').count()",
    "spent": "event('Order').within(1 day).sum(property('price'))",
    "views": "event('View').within(1 day).count()",
    "skus": "event('View').within(1 day).unique(property('sku')).count()",
    "dearest": "event('Order').max(property('price'))",
    "first_sku": "event('View').first(property('sku'))",
    "last_sku": "event('View').last(property('sku'))",
    "favourite": "event('View').mode(property('sku'), 2)",
    "session": "event('View').expires_after(3 hours).count()",
    "answered": "event('Mail').where(event('Order').within(parent: 1 hour).count() >= 2).count()",
}


def story() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """(device, message) of what happens before the two are linked, what links them, and what happens afterwards."""
    random = Random(SEED)
    start_ms = int(time() * 1_000) - SPAN_MS
    said: list[tuple[str, dict[str, Any]]] = []
    for number in range(2 * EVENTS):
        device = DEVICES[number % 2]
        event = random.choices(("View", "Order", "Mail"), (70, 29, 1))[0]
        properties = {"sku": f"s{random.randrange(300)}", "price": random.randrange(1, 20_000) / 100}
        at_ms = start_ms + number * (SPAN_MS - 600_000) // (2 * EVENTS) - random.randrange(60_000)
        said.append(
            (
                device,
                {
                    "type": "track", "event": event, "messageId": f"m{number}", "anonymousId": device,
                    "timestamp": iso(at_ms), "properties": properties,
                },
            )
        )  # fmt: skip
    logins = [(device, {"type": "identify", "messageId": f"in-{device}", "userId": "ann", "anonymousId": device})
              for device in DEVICES]  # fmt: skip
    half = len(said) // 2
    yield said[:half]
    yield logins
    # Some come again, as when a sender has not heard of an acknowledgement.
    yield [*said[half:], *random.sample(said, 500)]


async def send(deployment: Deployment, said: Iterable[tuple[str, dict[str, Any]]]) -> None:
    outputs: dict[tuple[str, int], list[tuple[bytes, bytes, tuple[()]]]] = {}
    for device, message in said:
        place = deployment.topics.events_raw, partition_of(device.encode(), PARTITIONS)
        outputs.setdefault(place, []).append((device.encode(), orjson.dumps(message), ()))
    await deployment.producer.send(outputs)


def wanted(raw: Iterable[RawRecord], now_ms: int) -> dict[str, Any]:
    """What the oracle has for the one person there is."""
    directory = Directory()
    nobody = TraitView({}, {})
    for arrival, record in enumerate(sorted(raw, key=lambda record: record.timestamp)):
        said = Record(record.timestamp, orjson.loads(record.value or b""))
        found = directory.resolve(said.message)
        assert found is not None
        directory.apply(said, found.profile, arrival, nobody, {})
    (only,) = directory.profiles
    subject = directory.user(only, {})
    return {key: evaluate(parse(query, "trait", "USERS"), subject, now_ms) for key, query in TRAITS.items()}


def living(deployment: Deployment) -> Profile:
    """The one profile that is no redirect."""
    found = [
        codec.decode(data) for stored in deployment.stored() for data in stored.profiles.values()
    ]  # without parts: what was emitted is in the profile itself
    (only,) = [each for each in found if each.emitted]
    assert len(found) >= 2
    return only


async def test_two_of_ten_thousand_events_each_become_one_while_both_go_on(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    print(f"seed {SEED}")
    document = {
        "kafka": {"brokers": broker.bootstrap, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "traits": [{"key": key, "query": query} for key, query in TRAITS.items()],
    }
    before, links, after = story()
    async with deployed(broker.bootstrap, tmp_path, document) as deployment:
        await deployment.start()
        await deployment.ready()
        await send(deployment, before)
        await deployment.at_rest(0.2)
        started_s = monotonic()
        await send(deployment, after[: len(after) // 4])
        await send(deployment, links)
        await send(deployment, after[len(after) // 4 :])
        await deployment.died(Random(SEED).random())
        await deployment.kill()
        await deployment.start()
        await deployment.ready()
        await deployment.at_rest(1.0)
        print(f"at rest {monotonic() - started_s:.1f} s after the link, a kill and a start included")
        await deployment.stop()
        raw = [record for records in await deployment.read(deployment.topics.events_raw) for record in records]
        profile = living(deployment)
    expected = wanted(raw, int(time() * 1_000))
    assert {kind: value for kind, value in profile.identifiers if kind == "user_id"} == {"user_id": "ann"}
    differing = [key for key, value in expected.items() if not same(profile.emitted.get(key), value)]
    assert not differing, [(key, profile.emitted.get(key), expected[key]) for key in differing]
    assert expected["orders"] > EVENTS / 2
