"""State, source and changelog that do not fit are refused in words; a damaged store is put aside and restored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.cli.apply import put_into_effect
from app.embedded.broker import EmbeddedBroker
from app.topics import Topics, partition_of
from tests.equality import check_store
from tests.faults.deployment import Deployment, deployed

PARTITIONS = 4
USERS = 40
REASON_RECREATED = "profiles.in was recreated"


def document(topics: Topics, brokers: str) -> dict[str, Any]:
    return {
        "kafka": {"brokers": brokers, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "audiences": [{"key": "buyers", "query": "event('Ordered').within(1 day).count() >= 2"}],
        "traits": [{"key": "orders", "query": "event('Ordered').count()"}],
    }


@pytest.fixture
async def used(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A deployment whose worker has worked and is stopped."""
    async with deployed(broker.bootstrap, tmp_path, document(topics, broker.bootstrap)) as deployment:
        await deployment.start()
        await order(deployment, "first")
        await order(deployment, "second")
        await deployment.ready()
        await deployment.at_rest(0.5)
        await deployment.stop()
        yield deployment


async def order(deployment: Deployment, name: str) -> None:
    """One order of everybody."""
    outputs: dict[tuple[str, int], list[Any]] = {}
    for number in range(USERS):
        user = f"u{number}"
        key = user.encode()
        message = {"type": "track", "event": "Ordered", "userId": user, "messageId": f"{name}-{user}"}
        place = deployment.topics.events_raw, partition_of(key, PARTITIONS)
        outputs.setdefault(place, []).append((key, orjson.dumps(message), ()))
    await deployment.producer.send(outputs)


async def values(deployment: Deployment, key: str) -> dict[str, list[Any]]:
    """Profile → the values of one definition's changes, in order."""
    found: dict[str, list[Any]] = {}
    for records in await deployment.read(deployment.topics.changes):
        for record in records:
            data = orjson.loads(record.value or b"")
            if data["key"] == key:
                found.setdefault(data["profile"], []).append(data["value"])
    return found


async def goes_on(deployment: Deployment) -> None:
    """Another order counts on from what was there: nothing is lost, nothing counts twice, nobody leaves."""
    await order(deployment, "third")
    await deployment.at_rest(0.5)
    await deployment.stop()
    orders, buyers = await values(deployment, "orders"), await values(deployment, "buyers")
    assert len(orders) == USERS
    assert all(each == [1, 2, 3] for each in orders.values()), orders
    assert all(each == [True] for each in buyers.values()), buyers
    for store, log in zip(
        deployment.stored(), await deployment.read(deployment.topics.profiles_changelog), strict=True
    ):
        assert store.profiles
        check_store(store.profiles.items(), store.timers, [(record.key, record.value) for record in log])


async def test_a_recreated_source_topic_is_noticed(used: Deployment) -> None:
    await used.admin.delete_topic(used.topics.profiles_in)
    await put_into_effect(used.settings, used.brokers)
    await used.start()
    reason = await used.unready(REASON_RECREATED)
    assert "delete the changelog topic" in reason, "the message says how to mend it"
    before = await values(used, "orders")
    await order(used, "third")
    assert await values(used, "orders") == before, "a partition that stands changes nothing"


async def test_a_lost_changelog_is_no_fresh_start(used: Deployment) -> None:
    await used.admin.delete_topic(used.topics.profiles_changelog)
    await put_into_effect(used.settings, used.brokers)
    for with_store in (True, False):
        if not with_store:
            used.wipe()
        await used.start()
        reason = await used.unready("was deleted or cut")
        assert "Bring" in reason, "the message says how to mend it"
        await used.kill()
    assert all(each == [True] for each in (await values(used, "buyers")).values()), "no wave of exits"


def flip_bytes(directory: Path) -> None:
    """In the middle of every data file."""
    files = list(directory.glob("*.sst"))
    assert files, "nothing was flushed, so there is nothing to damage"
    for file in files:
        data = bytearray(file.read_bytes())
        for at in range(0, min(len(data), 2_000)):
            data[at] ^= 0xFF
        file.write_bytes(data)


def remove_current(directory: Path) -> None:
    (directory / "CURRENT").unlink()


def cut_manifest(directory: Path) -> None:
    for file in directory.glob("MANIFEST-*"):
        file.write_bytes(file.read_bytes()[:20])


def remove_data(directory: Path) -> None:
    for file in directory.glob("*.sst"):
        file.unlink()


DAMAGES: tuple[Callable[[Path], None], ...] = (flip_bytes, remove_current, cut_manifest, remove_data)


async def test_damaged_stores_are_put_aside_and_restored(used: Deployment) -> None:
    before = used.stored()
    for partition, damage in enumerate(DAMAGES):
        damage(used.store_directory(partition))
    await used.start()
    await used.ready()
    await goes_on(used)
    aside = sorted(each.name.partition(".")[0] for each in used.store_directory(0).parent.glob("*.corrupt-*"))
    wanted = [used.store_directory(partition).name for partition in range(PARTITIONS)]
    assert aside == wanted, "kept for whoever wants to know why"
    assert [set(store.profiles) for store in used.stored()] == [set(store.profiles) for store in before]
