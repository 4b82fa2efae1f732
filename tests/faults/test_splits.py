"""Two people who were taken for one are split by the command, on a broker, and the worker is killed in the middle."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from time import time
from typing import Any

import orjson

from app.activation.wire import iso
from app.embedded.broker import EmbeddedBroker
from app.profiles import codec
from app.topics import Topics, partition_of
from tests.cli.program import headwater
from tests.faults.deployment import Deployment, deployed

PARTITIONS = 2
TABLET = "anonymous_id:tablet"
HOOK = {"url": "https://example.com/hook", "secret": "whsec_aGVhZHdhdGVyLWRlbW8tc2VjcmV0LTAx"}


def order(device: str, number: int, **ids: str) -> dict[str, Any]:
    at = iso(int(time() * 1_000) - 60_000)
    return {
        "type": "track", "event": "Order", "messageId": f"{device}-{number}", "anonymousId": device, "timestamp": at,
        "properties": {"price": 10}, **ids,
    }  # fmt: skip


async def send(deployment: Deployment, messages: list[dict[str, Any]]) -> None:
    for message in messages:
        key = message["anonymousId"].encode()
        place = deployment.topics.events_raw, partition_of(key, PARTITIONS)
        await deployment.producer.send({place: [(key, orjson.dumps(message), ())]})
    await deployment.at_rest(0.3)


async def command(deployment: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    common = ("--config", deployment.config, "--data", deployment.data_dir, "--brokers", deployment.brokers)
    return await asyncio.to_thread(headwater, "profile", *arguments, *common)


async def regulate(deployment: Deployment, kind: str, identifier: str) -> None:
    common = ("--config", deployment.config, "--data", deployment.data_dir, "--brokers", deployment.brokers)
    done = await asyncio.to_thread(headwater, "regulation", "create", kind, identifier, *common)
    assert done.returncode == 0, done.stderr
    await deployment.at_rest(0.5)


async def payloads(deployment: Deployment) -> dict[str, tuple[str, str, Any, str]]:
    """Id → (profile, key, value, origin), in the order of each partition."""
    found: dict[str, tuple[str, str, Any, str]] = {}
    for records in await deployment.read(deployment.topics.destination("crm")):
        for record in records:
            body = orjson.loads(record.value or b"")
            key = body["computation"]["key"]
            found[body["id"]] = body["profile"], key, body["payload"]["traits"][key], body["origin"]
    return found


async def test_two_people_taken_for_one_are_two_again(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> None:
    document = {
        "kafka": {"brokers": broker.bootstrap, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "traits": [{"key": "orders", "query": "event('Order').count()"}],
        "audiences": [
            {
                "key": "buyer", "query": "event('Order').within(1 day).count() >= 4",
                "include_anonymous_users": True,
            },
            {
                "key": "on_tablet", "query": "event('Order').where(property('tablet') = true).count() >= 1",
                "include_anonymous_users": True,
            },
        ],
        "destinations": [
            {
                "name": "crm", "type": "webhook", "settings": HOOK,
                "connect": [
                    {"trait": "orders"},
                    {"audience": "buyer", "calls": ["identify"]},
                    {"audience": "on_tablet", "calls": ["identify"]},
                ],
            }
        ],
    }  # fmt: skip
    async with deployed(broker.bootstrap, tmp_path, document) as deployment:
        await deployment.start()
        await deployment.ready()
        await send(deployment, [order("phone", number, userId="ann") for number in range(3)])
        tablet = [order("tablet", number) for number in range(2)]
        tablet[0]["properties"]["tablet"] = True
        await send(deployment, tablet)
        mistake = {"type": "identify", "messageId": "mistake", "userId": "ann", "anonymousId": "tablet"}
        await send(deployment, [mistake])
        before = await payloads(deployment)
        assert [each[1:3] for each in before.values()].count(("buyer", True)) >= 1

        dry = await command(deployment, "split", TABLET, "--dry-run", "--json")
        assert dry.returncode == 0, dry.stderr
        planned = json.loads(dry.stdout)
        assert planned["events"] == {"left": 3, "taken": 3}
        assert (await command(deployment, "split", TABLET, "--json")).returncode == 2, "nobody can be asked"
        assert (await command(deployment, "split", "user_id:nobody", "--yes")).returncode == 1
        assert await payloads(deployment) == before, "nothing was done"

        await deployment.stop()
        await deployment.start("mid_split:1")
        await deployment.ready()
        asked = asyncio.create_task(command(deployment, "split", TABLET, "--yes", "--json"))
        assert await deployment.died(60.0) is not None, "killed between the new profile's part and the other's"
        await deployment.start()
        await deployment.ready()
        done = await asked
        assert done.returncode == 0, done.stderr
        value = json.loads(done.stdout)
        assert [each | {"profile": ""} for each in value["changes"]] == [
            each | {"profile": ""} for each in planned["changes"]
        ]
        person, into = value["profile"], value["into"]
        told = [each for id_, each in (await payloads(deployment)).items() if id_ not in before]
        assert {each for each in told if each[0] == person} == {
            (person, "orders", 3, "split"), (person, "buyer", False, "split"), (person, "on_tablet", False, "split"),
        }  # fmt: skip
        assert {each for each in told if each[0] == into} == {
            (into, "orders", 2, "split"), (into, "buyer", False, "split"), (into, "on_tablet", True, "split"),
        }  # fmt: skip

        # The same message, as from somebody who sends it again; and one that is new.
        await send(deployment, [mistake | {"timestamp": iso(int(time() * 1_000) - 120_000)}, order("tablet", 9)])
        shown = json.loads((await command(deployment, "show", TABLET, "--json")).stdout)
        assert (shown["profile"], shown["origin"]["profile"], shown["computed_traits"]) == (into, person, {"orders": 3})
        of_ann = json.loads((await command(deployment, "show", "ann", "--json")).stdout)
        assert (of_ann["profile"], of_ann["computed_traits"]) == (person, {"orders": 3})
        assert [each["into"] for each in of_ann["parted"]] == [into]
        alone = await command(deployment, "split", TABLET, "--yes")
        assert (alone.returncode, "only identifier" in alone.stderr) == (1, True)

        # Erased, it is somebody new: what was said of it before does not come back, by no further split.
        await regulate(deployment, "DELETE_ONLY", TABLET)
        await send(deployment, [order("tablet", 10, userId="ann")])
        of_ann = json.loads((await command(deployment, "show", "ann", "--json")).stdout)
        assert (of_ann["profile"], of_ann["computed_traits"]) == (person, {"orders": 4})
        done = await command(deployment, "split", TABLET, "--yes", "--json")
        assert done.returncode == 0, done.stderr
        value = json.loads(done.stdout)
        assert value["events"] == {"left": 3, "taken": 1}
        orders = [(each["before"], each["after"]) for each in value["changes"] if each["key"] == "orders"]
        assert orders == [(4, 3), (4, 1)]
        into = value["into"]
        await deployment.stop()
        stored = {key: data for each in deployment.stored() for key, data in each.profiles.items()}
        assert codec.decode(stored[into.encode()]).identifiers == [("anonymous_id", "tablet")]
