"""What goes out of accounts: one group call for each change, and what an account is for each of its users."""

from __future__ import annotations

from typing import Any

import orjson

from app.activation.payload import parse_payload
from app.activation.router import Routed, Router
from app.compute.changes import Change
from app.ids import definition_id, derived_id
from app.topics import Topics
from tests.activation.changes import catalog, change, subscription

TOPICS = Topics(prefix="p.")
ALL = ("identify", "track", "group")
ID = definition_id("audience", "trial_accounts")
AT = "2026-01-31T10:00:00.000Z"


def of_account(**more: Any) -> Change:
    made: dict[str, Any] = {"profile": "acme", "identifiers": (("group_id", "acme"),), "collection": "accounts"}
    return change("trial_accounts", **{**made, **more})


def routed(*calls: str, given: Change, **more: Any) -> list[Routed]:
    return Router(catalog(subscription("trial_accounts", calls=calls, **more)), TOPICS).route(given)


def payloads(records: list[Routed]) -> list[dict[str, Any]]:
    return [orjson.loads(record.value)["payload"] for record in records]


def test_a_group_call_has_the_documented_shape_whole() -> None:
    (record,) = routed("group", given=of_account())
    id_ = derived_id("c-1", "crm", "group", "acme", "")
    personas = {
        "computation_class": "audience", "computation_id": ID, "computation_key": "trial_accounts",
        "namespace": "spa_demo", "space_id": "spa_demo",
    }  # fmt: skip
    assert (record.topic, record.key) == ("p.destinations.crm", b"acme")
    assert orjson.loads(record.value) == {
        "id": id_,
        "destination": "crm",
        "profile": "acme",
        "sequence": 3,
        "at": AT,
        "origin": "live",
        "computation": {"class": "audience", "id": ID, "key": "trial_accounts"},
        "payload": {
            "type": "group",
            "messageId": id_,
            "timestamp": AT,
            "groupId": "acme",
            "traits": {"trial_accounts": True},
            "context": {"personas": personas},
            "integrations": {"All": False, "crm": True},
        },
    }


def test_an_account_is_told_of_once_and_only_by_a_group_call() -> None:
    assert [call["type"] for call in payloads(routed(*ALL, given=of_account()))] == ["group"]
    assert routed("identify", "track", given=of_account()) == []


def test_a_group_call_carries_the_accounts_own_traits_under_the_names_that_were_given() -> None:
    given = of_account(value=False, previous=True, custom={"plan": "pro", "size": None}, computed={"seats": 7})
    (call,) = payloads(routed("group", given=given, traits=("plan", "seats", "size"), mapping=(("seats", "n"),)))
    assert list(call["traits"].items()) == [("trial_accounts", False), ("plan", "pro"), ("n", 7)]


def test_what_an_account_is_goes_to_a_user_with_its_group_id_and_not_as_a_group_call() -> None:
    identify, track = payloads(routed(*ALL, given=change("trial_accounts", account="acme")))
    assert (identify["type"], identify["userId"]) == ("identify", "u-17")
    assert identify["traits"] == {"trial_accounts": True, "email": "ana@example.com"}
    assert identify["context"]["groupId"] == track["context"]["groupId"] == "acme"
    assert identify["context"]["personas"]["computation_id"] == ID
    assert (track["type"], track["event"]) == ("track", "Audience Entered")
    assert track["context"]["traits"] == {"email": "ana@example.com"}
    assert "groupId" not in payloads(routed("identify", given=change("trial_accounts")))[0]["context"]


def test_the_cloud_event_is_about_the_account() -> None:
    record = Router(catalog(), TOPICS).cloud_event(of_account())
    headers = dict(record.headers)
    assert (record.key, headers["ce_subject"], headers["ce_type"]) == (b"acme", b"acme", b"headwater.audience.entered")
    assert orjson.loads(record.value)["identifiers"] == [{"type": "group_id", "value": "acme"}]


def test_its_sender_reads_it_as_about_the_account() -> None:
    (record,) = routed("group", given=of_account(value=False), traits=("email",))
    payload = parse_payload(record.value)
    assert (payload.ids, payload.kind, payload.value) == ({"group_id": "acme"}, "exited", False)
    (record,) = routed("identify", given=change("trial_accounts", account="acme"))
    assert parse_payload(record.value).ids == {"user_id": "u-17", "email": "ana@example.com"}
