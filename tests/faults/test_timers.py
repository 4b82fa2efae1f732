"""Timers in real time: at most a second late on an idle system, and after downtime only once the backlog is read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson

from app.clock import SystemClock
from app.embedded.broker import EmbeddedBroker
from app.events.dates import instant
from app.ids import profile_id
from app.kafka.consumer import RawRecord
from app.topics import Topics, partition_of
from tests.faults.deployment import Deployment, deployed

PARTITIONS = 2
WINDOW_MS = 3_000
AWAY_MS = 6_000
"""A longer one, so that a slow machine has come back to people before it runs out."""
LATE_MS_MAX = 1_000
ROUNDS_MAX = 6
USERS = 20


def document(topics: Topics, brokers: str, window_ms: int) -> dict[str, Any]:
    return {
        "kafka": {"brokers": brokers, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "audiences": [{"key": "present", "query": f"event('Seen').within({window_ms // 1_000} seconds).count() >= 1"}],
    }


async def seen(deployment: Deployment, users: range) -> None:
    outputs: dict[tuple[str, int], list[Any]] = {}
    for number in users:
        key = f"u{number}".encode()
        value = orjson.dumps({"type": "track", "event": "Seen", "userId": f"u{number}"})
        outputs.setdefault((deployment.topics.events_raw, partition_of(key, PARTITIONS)), []).append((key, value, ()))
    await deployment.producer.send(outputs)


async def changes(deployment: Deployment) -> dict[str, list[tuple[RawRecord, Any]]]:
    """Profile → its changes, record and data."""
    found: dict[str, list[tuple[RawRecord, Any]]] = {}
    for records in await deployment.read(deployment.topics.changes):
        for record in records:
            data = orjson.loads(record.value or b"")
            found.setdefault(data["profile"], []).append((record, data))
    return found


async def test_exits_come_within_a_second_on_an_idle_system(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    late_ms: list[int] = []
    async with deployed(broker.bootstrap, tmp_path, document(topics, broker.bootstrap, WINDOW_MS)) as deployment:
        await deployment.start()
        await deployment.ready()
        await deployment.at_rest(0.5)
        # Of a machine that others use, one round in several has to find it idle; a fault of ours is in each of them.
        for number in range(ROUNDS_MAX):
            users = range(number * USERS, (number + 1) * USERS)
            await seen(deployment, users)
            await asyncio.sleep(WINDOW_MS / 1_000)
            await deployment.at_rest(2.0)
            late_ms.append(latest_ms(await changes(deployment), users))
            if late_ms[-1] <= LATE_MS_MAX:
                break
        await deployment.stop()
    assert late_ms[-1] <= LATE_MS_MAX, f"ms late, round by round: {late_ms}"


def latest_ms(found: dict[str, list[tuple[RawRecord, Any]]], users: range) -> int:
    """By how much the latest of the users' exits was late; each is at the instant at which the window ran out."""
    late_ms: list[int] = []
    for user in users:
        (_, entered), (record, exited) = found[profile_id("user_id", f"u{user}")]
        assert (entered["value"], exited["value"]) == (True, False)
        due_ms, entered_ms = instant(exited["at"]), instant(entered["at"])
        assert due_ms is not None
        assert entered_ms is not None
        assert due_ms == entered_ms + WINDOW_MS, "to the millisecond"
        late_ms.append(record.timestamp - due_ms)
    return max(late_ms)


async def test_a_restart_with_nothing_new_fires_what_came_due_meanwhile(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with deployed(broker.bootstrap, tmp_path, document(topics, broker.bootstrap, WINDOW_MS)) as deployment:
        await deployment.start()
        await deployment.ready()
        await seen(deployment, range(1))
        await deployment.at_rest(0.2)
        await deployment.stop()
        await asyncio.sleep(WINDOW_MS / 1_000)
        await deployment.start()
        await deployment.ready()
        await deployment.at_rest(2.0)
        await deployment.stop()
        (of_one,) = (await changes(deployment)).values()
        assert [data["value"] for _, data in of_one] == [True, False]


async def test_after_downtime_nobody_leaves_whose_events_are_waiting(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    async with deployed(broker.bootstrap, tmp_path, document(topics, broker.bootstrap, AWAY_MS)) as deployment:
        await deployment.start()
        await deployment.ready()
        await seen(deployment, range(40))
        await deployment.at_rest(0.2)
        await deployment.kill()
        # The first half stays: seen again and again while nothing runs. The others' windows run out meanwhile.
        last_ms = 0
        for _ in range(7):
            await asyncio.sleep(1.0)
            await seen(deployment, range(20))
            last_ms = SystemClock().now_ms()
        await deployment.start()
        await deployment.ready()
        await asyncio.sleep(max(0, last_ms + AWAY_MS - SystemClock().now_ms()) / 1_000)
        await deployment.at_rest(2.0)
        await deployment.stop()
        found = await changes(deployment)
        assert len(found) == 40
        spans_ms = []
        for of_one in found.values():
            ids = {dict(record.headers)["ce_id"]: data for record, data in of_one}
            assert [data["value"] for data in ids.values()] == [True, False], "no spurious flap"
            entered, exited = (instant(data["at"]) for data in ids.values())
            assert entered is not None
            assert exited is not None
            spans_ms.append(exited - entered)
        assert sum(span == AWAY_MS for span in spans_ms) == 20, "those who were gone left when their windows ran out"
        assert sum(span >= AWAY_MS + 5_000 for span in spans_ms) == 20, "those who came back stayed all the time"
