"""`headwater destinations test`: a real message about a real profile, to a vendor that is there and one that is not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from standardwebhooks import Webhook

from app.activation.outcome import Delivered
from app.cli.commands import run
from app.cli.destinations import as_text, message
from app.definitions.model import Catalog, Definition, Subscription
from app.delivery.trial import Said, Trial
from app.embedded.broker import EmbeddedBroker
from app.ids import profile_id
from app.topics import Topics, partition_of
from tests.cli.program import headwater
from tests.cli.test_profile import profile
from tests.delivery.records import SECRET
from tests.faults.deployment import deployed
from tests.vendor import Arrival, Reply, Vendor

PARTITIONS = 2


def document(brokers: str, topics: Topics, url: str) -> dict[str, Any]:
    return {
        "kafka": {"brokers": brokers, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "audiences": [{"key": "buyers", "query": "event('Order').count() >= 2"}],
        "traits": [{"key": "orders", "query": "event('Order').count()"}],
        "destinations": [
            {
                "name": "crm",
                "type": "webhook",
                "settings": {"url": url, "secret": SECRET},
                "connect": [{"audience": "buyers", "calls": ["identify", "track"]}, {"trait": "orders"}],
            },
            {"name": "log", "type": "kafka", "connect": [{"trait": "orders"}]},
        ],
        "delivery": {"allow_networks": ["127.0.0.1/32"]},
    }


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "headwater.yaml"
    config.write_text(yaml.safe_dump(document("127.0.0.1:1", Topics(), "https://h.example/")))
    for arguments, told in (
        (["crn"], "did you mean 'crm'?"),
        (["log"], "its topic is the delivery"),
        (["crm", "--definition", "vip"], "vip is not connected; buyers, orders is"),
        (["crm", "--call", "group"], "expected identify or track"),
    ):
        assert run(["destinations", "test", *arguments, "--profile", "ann", "--config", str(config)]) == 2
        assert told in capsys.readouterr().err
    assert run(["destinations", "test", "crm"]) == 2


def test_the_message_says_what_is_true_now() -> None:
    catalog = Catalog((Definition("vip", "audience", "trait('plan') = 'pro'"),))

    def told(key: str, call: str) -> dict[str, Any]:
        subscription = Subscription(definition=key, kind="audience", destination="crm", calls=(call,))
        return message(catalog, subscription, "prf_1", profile()).call

    assert told("vip", "identify")["traits"]["vip"] is True
    assert told("new", "track")["event"] == "Audience Exited"
    assert told("vip", "identify")["userId"] == "ann"


def test_for_people() -> None:
    said = Said(
        {"method": "POST", "url": "https://h.example", "headers": {"Accept": "x"}, "body": '{"a": 1}'},
        {"status": 204, "headers": {"date": "now"}, "body": ""},
    )
    payload = message(Catalog(), Subscription("vip", "audience", "crm"), "prf_1", profile())
    assert as_text("crm", payload, Trial(Delivered(), "HTTP status 204", [said])).splitlines() == [
        "→ POST https://h.example",
        "  Accept: x",
        "  {",
        '    "a": 1',
        "  }",
        "← HTTP 204",
        "  date: now",
        "",
        "crm: delivered: HTTP status 204",
    ]


async def test_a_real_message(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> None:
    def reply(arrival: Arrival) -> Reply:
        return Reply(body=b"thanks for " + SECRET.encode()) if arrival.json["type"] == "track" else Reply(401)

    async with Vendor(reply) as vendor:  # noqa: SIM117 - the document needs its address
        async with deployed(broker.bootstrap, tmp_path, document(broker.bootstrap, topics, vendor.url)) as deployment:
            await deployment.start()
            await deployment.ready()
            place = (topics.events_raw, partition_of(b"ann", PARTITIONS))
            event = {"type": "track", "userId": "ann", "event": "Order"}
            values = [event | {"messageId": f"m{number}"} for number in range(2)]
            await deployment.producer.send({place: [(b"ann", orjson.dumps(value), ()) for value in values]})
            await deployment.at_rest(0.5)

            async def asked(*arguments: str) -> tuple[int, str, str]:
                command = ("destinations", "test", "crm", *arguments, "--config", deployment.config)
                done = await asyncio.to_thread(headwater, *command, environ={"NO_COLOR": "1"})
                return done.returncode, done.stdout, done.stderr

            code, told, said = await asked("--profile", "ann", "--call", "track", "--json")
            assert (code, said) == (0, "")
            found = json.loads(told)
            (exchange,) = found["exchanges"]
            assert (found["delivered"], exchange["response"]["status"]) == (True, 200)
            assert exchange["response"]["body"] == "thanks for [secret]"
            (arrival,) = vendor.arrivals
            assert Webhook(SECRET).verify(arrival.body, dict(arrival.headers)) == found["payload"]
            assert (arrival.json["event"], arrival.json["userId"]) == ("Audience Entered", "ann")
            code, told, _ = await asked("--profile", profile_id("user_id", "ann"), "--definition", "orders")
            assert code == 1
            assert told.splitlines()[-1] == "crm: pause (unauthorized): HTTP status 401"
            assert vendor.arrivals[1].json["traits"] == {"orders": 2}
            code, _, said = await asked("--profile", "bob")
            assert (code, "nobody is known as user_id:bob" in said) == (1, True)
            await deployment.stop()
