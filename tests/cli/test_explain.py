"""The command tells why: of a profile in a running deployment, and what is wrong with what was asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.cli import explanation_view
from app.cli.commands import run
from app.cli.explain import definitions_for
from app.cli.output import CommandError
from app.compute.explain import explain
from app.definitions.checker import compile_ready
from app.definitions.model import Catalog, Definition
from app.embedded.broker import EmbeddedBroker
from app.events.dates import instant
from app.ids import profile_id
from app.stream.lookup import Found
from app.topics import Topics, partition_of
from tests.cli.program import headwater
from tests.compute.test_apply import START_MS, Person, audience, trait
from tests.faults.deployment import Deployment, deployed

PARTITIONS = 2


def test_wrong_usage_and_no_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "vip"]) == 2
    assert run(["explain", "vip", "email:", "--brokers", "127.0.0.1:1"]) == 2
    assert "IDENTIFIER is empty" in capsys.readouterr().err
    assert run(["explain", "vip", "ann", "--config", str(tmp_path / "none.yaml")]) == 2
    assert run(["explain", "vip", "ann", "--data", str(tmp_path)]) == 1
    assert "no `headwater up` is serving" in capsys.readouterr().err


def test_the_tree_for_people() -> None:
    definitions = [
        audience("regular", "event('Order').within(1 hour).count() >= 2 AND NOT trait('plan') = 'free'"),
        trait("spent", "event('Order').sum(property('total'))"),
    ]
    person = Person(*definitions)
    person.message(0, properties={"total": 5})
    person.message(60_000, properties={"total": 7})
    ready, _ = compile_ready(definitions)

    def text(key: str, *, styled: bool = False) -> str:
        return explanation_view.as_text(
            explain(ready, key, person.profile, START_MS + 90_000), "user_id:u", styled=styled
        )

    assert text("regular") == (
        "✓ user_id:u is in the audience regular, as of 2026-01-01T00:01:30.000Z\n"
        "  leaves at 2026-01-01T01:00:00.000Z if nothing happens\n"
        "\n"
        "✓ event('Order').within(1 hour).count() >= 2 AND NOT trait('plan') = 'free'"
        "   can flip at 2026-01-01T01:00:00.000Z\n"
        "  ✓ event('Order').within(1 hour).count() >= 2   can flip at 2026-01-01T01:00:00.000Z\n"
        "      is 2 or more: 2 events, from 2026-01-01T00:00:00.000Z to 2026-01-01T00:01:00.000Z\n"
        "        2026-01-01T00:01:00.000Z  leaves at 2026-01-01T01:01:00.000Z\n"
        "        2026-01-01T00:00:00.000Z  leaves at 2026-01-01T01:00:00.000Z\n"
        "  ✓ NOT trait('plan') = 'free'\n"
        "    ✗ trait('plan') = 'free'\n"
        "        is null, a custom trait that nobody has written"
    )
    assert text("spent") == (
        "spent of user_id:u is 12, as of 2026-01-01T00:01:30.000Z\n"
        "  stays so for as long as nothing happens\n"
        "\n"
        "event('Order').sum(property('total'))\n"
        "  is 12: 2 values, their times are not kept"
    )
    assert "\x1b" not in text("regular")
    assert "\x1b[32m✓" in text("regular", styled=True)


def test_whose_definition_it_is_has_to_fit_whoever_is_asked_for() -> None:
    catalog = Catalog((Definition("mine", "audience", "trait('a') = 1"),
                       Definition("theirs", "audience", "trait('a') = 1", "ACCOUNTS")))  # fmt: skip
    user, account = Found(catalog, "prf_1", None, None), Found(catalog, "acme", None, None, "accounts")
    for key, found in (("mine", user), ("theirs", account)):
        assert key in {definition.key for definition, _ in definitions_for(key, found)}
    with pytest.raises(CommandError, match="'theirs' is a definition of accounts: name one, as group_id:VALUE"):
        definitions_for("theirs", user)
    with pytest.raises(CommandError, match="'mine' is a definition of users: name one"):
        definitions_for("mine", account)


def document(topics: Topics, brokers: str) -> dict[str, Any]:
    return {
        "kafka": {"brokers": brokers, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "audiences": [{"key": "buyers", "query": "event('Order').within(1 hour).count() >= 2"}],
        "traits": [
            {"key": "orders", "query": "event('Order').count()"},
            {"key": "orders_of_all", "query": "event('Order').count()", "type": "ACCOUNTS"},
        ],
    }


async def test_a_profile_of_a_running_deployment(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> None:
    async with deployed(broker.bootstrap, tmp_path, document(topics, broker.bootstrap)) as deployment:
        await deployment.start()
        await deployment.ready()
        await _order(deployment, {"userId": "ann"}, {"userId": "ann"})
        await deployment.at_rest(0.5)

        def asked(*arguments: str) -> tuple[int, str, str]:
            done = headwater("explain", *arguments, "--config", deployment.config, environ={"NO_COLOR": "1"})
            return done.returncode, done.stdout, done.stderr

        code, told, said = asked("buyers", "ann", "--json")
        assert (code, said) == (0, "")
        found = json.loads(told)
        assert (found["definition"], found["kind"], found["value"], found["emitted"]) == (
            "buyers", "audience", True, True,
        )  # fmt: skip
        assert found["profile"] == profile_id("user_id", "ann")
        clause = found["clause"]
        chain, two = clause["operands"]
        assert (clause["junction"], clause["holds"], two["value"]) == ("comparison", True, 2)
        assert (chain["source"], chain["value"], chain["events"]["count"]) == ("events", 2, 2)
        oldest = instant(chain["events"]["oldest"])
        assert oldest is not None
        assert instant(found["changes_at"]) == oldest + 3_600_000
        code, told, _ = asked("orders", "user_id:ann")
        assert code == 0
        assert told.startswith("orders of user_id:ann is 2, as of ")
        assert "\x1b" not in told
        assert asked("buyer", "ann")[::2] == (
            2, "headwater: no definition 'buyer' is in effect (did you mean 'buyers'?)\n",
        )  # fmt: skip
        code, _, said = asked("buyers", "bob")
        assert code == 1
        assert said.startswith("headwater: nobody is known as user_id:bob: ")
        await _merge(deployment)
        names = ["ann", "anonymous_id:phone", "email:ann@example.com", "shop:17"]
        for name in (*names, profile_id("user_id", "ann"), profile_id("anonymous_id", "phone")):
            code, told, said = asked("orders", name, "--json")
            assert (code, said) == (0, "")
            found = json.loads(told)
            assert (found["profile"], found["value"]) == (profile_id("user_id", "ann"), 4), name
        code, told, _ = asked("orders", "anonymous_id:phone")
        assert told.startswith("orders of anonymous_id:phone is 4, as of ")
        _is_shown(deployment)
        await _accounts(deployment, asked)
        await deployment.stop()


async def _accounts(deployment: Deployment, asked: Callable[..., tuple[int, str, str]]) -> None:
    """Ann belongs to an account, which has what she did before."""
    await _order(deployment, {"userId": "ann", "type": "group", "groupId": "acme", "traits": {"plan": "pro"}})
    await deployment.at_rest(0.5)
    code, told, said = asked("orders_of_all", "group_id:acme", "--json")
    assert (code, said) == (0, "")
    found = json.loads(told)
    assert (found["profile"], found["value"], found["emitted"], found["anonymous"]) == ("acme", 4, 4, False)
    done = headwater("profile", "show", "group_id:acme", "--json", "--config", deployment.config)
    shown = json.loads(done.stdout)
    assert (shown["profile"], shown["users"], shown["computed_traits"]) == ("acme", 1, {"orders_of_all": 4})
    assert shown["traits"]["plan"]["value"] == "pro"


async def _merge(deployment: Deployment) -> None:
    """Orders something on a telephone, and signs in there: what were two profiles are one."""
    await _order(deployment, {"anonymousId": "phone"})
    await deployment.at_rest(0.5)
    shop = {"collection": "users", "encoding": "none", "type": "shop", "id": "17"}
    context = {"traits": {"email": "ann@example.com"}, "externalIds": [shop]}
    await _order(deployment, {"anonymousId": "phone", "userId": "ann", "messageId": "signed-in", "context": context})
    await deployment.at_rest(0.5)


def _is_shown(deployment: Deployment) -> None:
    def shown(*arguments: str) -> tuple[int, str, str]:
        done = headwater("profile", "show", *arguments, "--config", deployment.config, environ={"NO_COLOR": "1"})
        return done.returncode, done.stdout, done.stderr

    code, told, said = shown("email:ann@example.com", "--json")
    assert (code, said) == (0, "")
    found = json.loads(told)
    ann, phone = profile_id("user_id", "ann"), profile_id("anonymous_id", "phone")
    assert found["profile"] == ann
    assert sorted((each["type"], each["value"]) for each in found["identifiers"]) == [
        ("anonymous_id", "phone"), ("email", "ann@example.com"), ("shop", "17"), ("user_id", "ann"),
    ]  # fmt: skip
    assert all(instant(each["added_at"]) for each in found["identifiers"])
    (merged,) = found["absorbed"]
    assert (merged["profile"], merged["message"]) == (phone, "signed-in")
    assert (found["audiences"], found["computed_traits"], found["traits"]) == (["buyers"], {"orders": 4}, {})
    code, told, _ = shown(phone)
    assert code == 0
    assert told.startswith(f"{ann}, as of ")
    assert f"{phone}  {merged['at']}  by message signed-in\n" in told
    assert shown("bob") == (1, "", "headwater: nobody is known as user_id:bob\n")


async def _order(deployment: Deployment, *messages: dict[str, object]) -> None:
    values = [orjson.dumps({"type": "track", "event": "Order"} | each) for each in messages]
    place = deployment.topics.events_raw, partition_of(b"ann", PARTITIONS)
    await deployment.producer.send({place: [(b"ann", value, ()) for value in values]})
