"""The timers of accounts in real time: behind those of users, and no more than a second late, whoever has the users."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.embedded.broker import EmbeddedBroker
from app.events.dates import instant
from app.kafka.consumer import RawRecord
from app.topics import Topics, partition_of
from tests.faults.deployment import Deployment, deployed

PARTITIONS = 2
WINDOW_MS = 3_000
LATE_MS_MAX = 1_000
ROUNDS_MAX = 6
ACCOUNTS = 6
USERS = 3
"""Of each account; its last one does nothing."""

AUDIENCES = {
    "pinged": "event('Ping').within(3 seconds).count() >= 1",
    "somebody": "ANY (event('Ping').within(3 seconds).count() >= 1)",
    "all_quiet": "event('Ping').count() >= 1 AND NONE (event('Ping').within(3 seconds).count() >= 1)",
    # Both sides turn in the same instant, so that whoever does not let users go first says so for a moment.
    "never": "event('Ping').count() >= 1 AND event('Ping').within(3 seconds).count() = 0 "
    "AND ANY (event('Ping').within(3 seconds).count() >= 1)",
}


def document(topics: Topics, brokers: str) -> dict[str, Any]:
    return {
        "kafka": {"brokers": brokers, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "audiences": [{"key": key, "type": "ACCOUNTS", "query": query} for key, query in AUDIENCES.items()],
    }


async def send(deployment: Deployment, number: int, *, kind: str, users: range) -> None:
    """A group call, or a ping, of some users of every account of a round."""
    outputs: dict[tuple[str, int], list[Any]] = {}
    for account in range(ACCOUNTS):
        for user in users:
            name = f"u{number}-{account}-{user}"
            message = {"userId": name, "messageId": f"{kind}-{name}", "type": kind}
            message |= {"groupId": f"a{number}-{account}"} if kind == "group" else {"event": "Ping"}
            key = name.encode()
            place = (deployment.topics.events_raw, partition_of(key, PARTITIONS))
            outputs.setdefault(place, []).append((key, orjson.dumps(message), ()))
    await deployment.producer.send(outputs)


async def changes(deployment: Deployment) -> dict[tuple[str, str], list[tuple[RawRecord, Any]]]:
    """(account, audience) → its changes, record and data."""
    found: dict[tuple[str, str], list[tuple[RawRecord, Any]]] = {}
    for records in await deployment.read(deployment.topics.changes):
        for record in records:
            data = orjson.loads(record.value or b"")
            found.setdefault((data["profile"], data["key"]), []).append((record, data))
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [1, 2])
async def test_accounts_change_within_a_second_when_only_time_passes(
    workers: int, broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    late_ms: list[int] = []
    async with deployed(broker.bootstrap, tmp_path, document(topics, broker.bootstrap)) as deployment:
        others = [deployment.colleague() for _ in range(1, workers)]
        for each in (deployment, *others):
            await each.start()
        for each in (deployment, *others):
            await each.ready()
        await deployment.at_rest(1.0)
        # Of a machine that others use, one round in several has to find it idle; a fault of ours is in each of them.
        for number in range(ROUNDS_MAX):
            await send(deployment, number, kind="group", users=range(USERS))
            await deployment.at_rest(0.5)
            await send(deployment, number, kind="track", users=range(USERS - 1))
            await asyncio.sleep(WINDOW_MS / 1_000)
            await deployment.at_rest(2.0)
            late_ms.append(latest_ms(await changes(deployment), number))
            if late_ms[-1] <= LATE_MS_MAX:
                break
        for each in (deployment, *others):
            await each.stop()
    assert late_ms[-1] <= LATE_MS_MAX, f"ms late, round by round: {late_ms}"


def latest_ms(found: dict[tuple[str, str], list[tuple[RawRecord, Any]]], number: int) -> int:
    """By how much the latest change by time was late; each is at the instant at which the last window ran out."""
    late_ms: list[int] = []
    for account in range(ACCOUNTS):
        name = f"a{number}-{account}"
        ends: set[int] = set()
        for key, values in (("pinged", [True, False]), ("somebody", [True, False]), ("all_quiet", [True])):
            told = found[name, key]
            assert [data["value"] for _, data in told] == values, (name, key)
            record, data = told[-1]
            at_ms = instant(data["at"])
            assert at_ms is not None
            ends.add(at_ms)
            late_ms.append(record.timestamp - at_ms)
        assert (name, "never") not in found
        assert len(ends) == 1, f"{name} turned at several instants: {ends}"
    return max(late_ms)
