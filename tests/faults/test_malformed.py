"""Records that are none, on the real broker with a running worker: each a dead letter once, and nothing stops."""

from __future__ import annotations

import os
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.embedded.broker import EmbeddedBroker
from app.errors import InvalidEventReason
from app.events.codec import EVENT_BYTES_MAX
from app.ids import profile_id
from app.topics import Topics, partition_of
from tests.faults.deployment import Deployment, deployed

PARTITIONS = 2
ORIGINAL_BYTES_KEPT = 64 * 1024
R = InvalidEventReason


def raw(**fields: Any) -> bytes:
    return orjson.dumps({"type": "track", "event": "Order", "userId": "nobody", **fields})


EVENTS: dict[str, tuple[bytes | None, InvalidEventReason]] = {
    "bad JSON": (b"{'type': 'track'}", R.NOT_JSON),
    "cut JSON": (raw()[:-2], R.NOT_JSON),
    "NaN": (raw(properties={"total": 0}).replace(b"0", b"NaN"), R.NOT_JSON),
    "a lone surrogate": (raw(event="x").replace(b'"x"', b'"\\udc00"'), R.NOT_JSON),
    "bad UTF-8": (raw(event="x").replace(b'"x"', b'"\xc3\x28"'), R.NOT_JSON),
    "no bytes": (b"", R.NOT_JSON),
    "null value": (None, R.NULL_VALUE),
    "a list": (b"[]", R.NOT_AN_OBJECT),
    "5 MB": (raw(properties={"a": "x" * 5_000_000}), R.TOO_LARGE),
    "5 MB of nothing that packs": (os.urandom(5_000_000), R.TOO_LARGE),
    "32 KiB and a byte": (b" " * (EVENT_BYTES_MAX + 1 - len(raw())) + raw(), R.TOO_LARGE),
    "100,000 nested brackets": (b"[" * 100_000 + b"]" * 100_000, R.TOO_LARGE),
    "as many brackets as fit": (raw(properties={"a": 0})[:-3] + b"[" * 16_000 + b"]" * 16_000 + b"}}", R.TOO_DEEP),
    "wrong type of properties": (raw(properties=[1]), R.WRONG_FIELD_TYPE),
    "wrong type of userId": (raw(userId={"a": 1}), R.WRONG_FIELD_TYPE),
    "unknown type": (raw(type="purchase"), R.UNKNOWN_TYPE),
    "no event": (raw(event=None), R.FIELD_MISSING),
    "no identifier": (raw(userId=None), R.NO_IDENTIFIER),
    "a blocked identifier": (raw(userId="00000-00"), R.NO_IDENTIFIER),
}

INTERNAL: dict[str, tuple[bytes | None, bytes | None]] = {
    "null value": (b"p", None),
    "bad JSON": (b"p", b"{"),
    "bad UTF-8": (b"p", b"\xff\xfe"),
    "an unknown kind": (b"p", b'{"kind":"erase"}'),
    "wrong types": (b"p", b'{"kind":"event","at":{},"id":[],"message":7}'),
    "an instant that no calendar has": (b"p", b'{"kind":"timer","due":18446744073709551615}'),
    "no key": (None, b'{"kind":"timer","due":1}'),
    "a key that is no text": (b"\xff", b'{"kind":"event","at":1,"id":"a","message":{"type":"page","userId":"u"}}'),
    "100,000 brackets": (b"p", b"[" * 100_000),
    "5 MB": (b"p", b"\x00" * 5_000_000),
    "no catalogue": (None, b'{"kind":"catalog","catalog":[]}'),
}


@dataclass(frozen=True)
class Position:
    topic: str
    partition: int
    offset: int


def user(partition: int) -> str:
    return f"user-{partition}"


async def send(deployment: Deployment, topic: str, partition: int, key: bytes | None, value: bytes | None) -> Position:
    offset, _ = await deployment.producer.append(topic, partition, [(key, value)])
    return Position(topic, partition, offset)


async def dead_letters(deployment: Deployment) -> list[dict[str, Any]]:
    partitions = await deployment.read(deployment.topics.events_dead)
    return [orjson.loads(record.value or b"") for records in partitions for record in records]


async def orders(deployment: Deployment) -> dict[str, list[int]]:
    """Profile → the values of its trait, in order."""
    found: dict[str, list[int]] = {}
    for records in await deployment.read(deployment.topics.changes):
        for record in records:
            data = orjson.loads(record.value or b"")
            found.setdefault(data["profile"], []).append(data["value"])
    return found


def document(broker: EmbeddedBroker, topics: Topics) -> dict[str, Any]:
    return {
        "kafka": {"brokers": broker.bootstrap, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "traits": [{"key": "orders", "query": "event('Order').count()"}],
    }


@pytest.mark.timeout(240)
async def test_each_malformed_record_is_one_dead_letter_and_stops_nothing(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with deployed(broker.bootstrap, tmp_path, document(broker, topics)) as deployment:
        wanted: dict[Position, tuple[str, bytes | None]] = {}
        good = Counter[str]()

        async def order(partition: int) -> None:
            good[user(partition)] += 1
            name = user(partition)
            await send(deployment, topics.events_raw, partition, name.encode(), raw(userId=name))

        await deployment.start()
        await order(0)
        for number, (value, reason) in enumerate(EVENTS.values()):
            position = await send(deployment, topics.events_raw, number % PARTITIONS, b"k", value)
            wanted[position] = reason, value
            await order(number % PARTITIONS)
        await deployment.ready()
        await deployment.at_rest(quiet_s=0.3)
        # Garbage in the log of profiles itself, in the partition of each user, good events around it.
        for partition in range(PARTITIONS):
            place = partition_of(profile_id("user_id", user(partition)).encode(), PARTITIONS)
            for key, value in INTERNAL.values():
                position = await send(deployment, topics.profiles_in, place, key, value)
                wanted[position] = "not_understood", value
            await order(partition)
        await deployment.at_rest(quiet_s=0.3)
        letters = await dead_letters(deployment)
        values = await orders(deployment)
        await deployment.stop()

    _check_letters(letters, wanted)
    assert values == {profile_id("user_id", name): list(range(1, count + 1)) for name, count in good.items()}


def _check_letters(letters: list[dict[str, Any]], wanted: dict[Position, tuple[str, bytes | None]]) -> None:
    found = Counter(Position(each["topic"], each["partition"], each["offset"]) for each in letters)
    assert set(found) == set(wanted)
    assert set(found.values()) == {1}, "a dead letter came twice"
    for letter in letters:
        reason, original = wanted[Position(letter["topic"], letter["partition"], letter["offset"])]
        assert letter["reason"] in (reason, "failed" if reason == "not_understood" else reason)
        assert letter["message"]
        if original is None:
            assert letter["original"] is None
        else:
            assert b64decode(letter["original"]) == original[:ORIGINAL_BYTES_KEPT]
