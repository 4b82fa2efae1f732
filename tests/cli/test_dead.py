"""`headwater dead` on a broker: what is listed, in which order it goes again, and what is dealt with for good."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from app.activation.outcome import Reason, Response
from app.cli import dead_view, topics_setup
from app.cli.commands import run
from app.delivery.dead_letter import Evidence, Position, dead_letter, position_headers
from app.embedded.broker import EmbeddedBroker
from app.kafka.consumer import BulkRead, BulkReader
from app.kafka.producer import Producer
from app.settings import read
from app.topics import Topics
from tests.delivery.records import record
from tests.delivery.test_letters import letter

AT_MS = 1_767_225_600_000


class Deployment:
    """A configuration with two destinations, whose topics the test fills."""

    def __init__(self, broker: EmbeddedBroker, topics: Topics, folder: Path) -> None:
        self.brokers = broker.bootstrap
        self.topics = topics
        self.config = folder / "headwater.yaml"
        destinations = [{"name": name, "type": "kafka", "connect": []} for name in ("crm", "mail")]
        kafka = {"brokers": self.brokers, "topic_prefix": topics.prefix, "partitions": 2}
        self.config.write_text(yaml.safe_dump({"kafka": kafka, "destinations": destinations}))

    async def __aenter__(self) -> Deployment:
        loaded = read(self.config, {}).loaded
        assert loaded is not None
        await topics_setup.ensure(loaded.settings, self.brokers)
        self.producer = Producer(self.brokers)
        await self.producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.producer.stop()

    async def send(self, name: str, profile: str, sequence: int, value: bool = True) -> int:
        """A payload; gives its offset in partition 1."""
        topic = self.topics.destination(name)
        payload = orjson.loads(record(sequence, profile, traits={"vip": value}).value or b"")
        return (await self.producer.append(topic, 1, [(profile.encode(), orjson.dumps(payload))]))[0]

    async def die(
        self, name: str, profile: str, sequence: int, *, status: int = 422, at_s: int = 0, twice: bool = False
    ) -> None:
        """A payload, and its dead letter."""
        offset = await self.send(name, profile, sequence)
        reason = Reason.REFUSED if status < 500 else Reason.EXPIRED
        value = dead_letter(
            record(sequence, profile, traits={"vip": True}).value, reason=reason, message="HTTP status 422", attempts=1,
            at_ms=AT_MS + at_s * 1000, evidence=Evidence(answer=Response(status, {}, b"no")), secrets=(),
        )  # fmt: skip
        headers = position_headers(Position(self.topics.destination(name), 1, offset), reason)
        letter_ = (profile.encode(), value, headers)
        await self.producer.send({(self.topics.destination_dead(name), 0): [letter_] * (2 if twice else 1)})

    async def sent(self, name: str) -> list[str]:
        """The ids in the destination's topic."""
        found: list[str] = []
        async for records in BulkReader(self.brokers).read(BulkRead(self.topics.destination(name), 1, 0)):
            found += [orjson.loads(one.value or b"{}")["id"] for one in records]
        return found

    def dead(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
        code = run(["dead", *arguments, "--config", str(self.config), "--json"])
        told = capsys.readouterr()
        return code, json.loads(told.out) if told.out else told.err


def ids(found: dict[str, Any]) -> Sequence[str]:
    return [one["id"] for one in found["dead"]]


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dead"]) == 2
    assert run(["dead", "bury"]) == 2
    capsys.readouterr()
    for arguments, told in (
        (["--reason", "refuse"], "did you mean 'refused'?"),
        (["--since", "yesterday"], "expected an instant"),
    ):
        assert run(["dead", "list", *arguments, "--brokers", "127.0.0.1:1"]) == 2
        assert told in capsys.readouterr().err


def test_the_list_for_people() -> None:
    text = dead_view.as_text([letter(3), letter(4, "bob", reason=Reason.EXPIRED, status=503)], 5)
    assert text.splitlines() == [
        "2026-01-01T00:00:00.000Z  crm  refused  422  1 attempt  ann  no",
        "2026-01-01T00:00:00.000Z  crm  expired  503  1 attempt  bob  no",
        "5 dead letters; 3 older ones are not shown, see --limit",
    ]
    assert dead_view.as_text([], 0) == "no dead letters"
    assert dead_view.done_text({"retried": 1, "overtaken": 2, "incomplete": 1}).splitlines() == [
        "1 dead letter sent again",
        "2 dead letters left alone: something newer has gone out since; drop them, or send them with --force",
        "1 dead letter left alone: too large to have been kept whole",
    ]


async def test_they_are_listed_once_and_by_what_is_asked(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Deployment(broker, topics, tmp_path) as here:

        async def dead(*arguments: str) -> tuple[int, Any]:
            return await asyncio.to_thread(here.dead, capsys, *arguments)

        assert await dead("list") == (0, {"dead": [], "total": 0})
        await here.die("crm", "ann", 1, twice=True)
        await here.die("crm", "bob", 2, status=503, at_s=60)
        await here.die("mail", "ann", 3, at_s=30)
        code, found = await dead("list")
        assert (code, ids(found), found["total"]) == (0, ["ann-1", "ann-3", "bob-2"], 3)
        assert found["dead"][0]["error"]["response"]["body"] == "no"
        for arguments, wanted in (
            (["crm"], ["ann-1", "bob-2"]),
            (["--profile", "ann"], ["ann-1", "ann-3"]),
            (["--status", "503"], ["bob-2"]),
            (["--reason", "refused", "mail"], ["ann-3"]),
            (["--since", "2026-01-01T00:00:30", "--until", "2026-01-01T00:01"], ["ann-3"]),
            (["--limit", "1"], ["bob-2"]),
        ):
            assert ids((await dead("list", *arguments))[1]) == wanted
        assert await dead("drop", "--profile", "ann", "crm") == (0, {"dropped": 1})
        assert ids((await dead("list"))[1]) == ["ann-3", "bob-2"]
        assert await dead("drop") == (0, {"dropped": 2})
        assert await dead("list") == (0, {"dead": [], "total": 0})
        code, told = await dead("list", "crn")
        assert (code, "did you mean 'crm'?" in told) == (2, True)


async def test_a_retry_goes_in_order_and_never_behind_what_is_newer(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Deployment(broker, topics, tmp_path) as here:

        async def dead(*arguments: str) -> tuple[int, Any]:
            return await asyncio.to_thread(here.dead, capsys, *arguments)

        await here.die("crm", "ann", 1, at_s=9)
        await here.die("crm", "ann", 2, at_s=1)
        await here.die("crm", "bob", 3)
        await here.die("mail", "bob", 4)
        await here.send("crm", "bob", 5, False)
        assert await dead("retry", "crm") == (0, {"retried": 2, "overtaken": 1, "incomplete": 0})
        assert await here.sent("crm") == ["ann-1", "ann-2", "bob-3", "bob-5", "ann-1", "ann-2"]
        assert ids((await dead("list"))[1]) == ["bob-3", "bob-4"]
        assert await dead("retry") == (0, {"retried": 1, "overtaken": 1, "incomplete": 0})
        assert await dead("retry", "--force") == (0, {"retried": 1, "overtaken": 0, "incomplete": 0})
        assert (await here.sent("crm"))[-1] == "bob-3"
        assert (await here.sent("mail"))[-1] == "bob-4"
        assert await dead("list") == (0, {"dead": [], "total": 0})
        assert await dead("retry") == (0, {"retried": 0, "overtaken": 0, "incomplete": 0})
