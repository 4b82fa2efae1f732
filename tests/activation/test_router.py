"""Changes become the payloads and the CloudEvents that the contract shows."""

from typing import Any

import msgspec
import orjson
import pytest

from app.activation.payload import parse_payload
from app.activation.router import Routed, Router
from app.ids import definition_id, derived_id
from app.topics import Topics
from tests.activation.changes import catalog, change, subscription

TOPICS = Topics(prefix="p.")
BOTH = ("identify", "track")


def personas(key: str, kind: str = "audience") -> dict[str, str]:
    return {
        "computation_class": kind,
        "computation_id": definition_id(kind, key),
        "computation_key": key,
        "namespace": "spa_demo",
        "space_id": "spa_demo",
    }


def values(routed: list[Routed]) -> list[dict[str, Any]]:
    return [orjson.loads(record.value) for record in routed]


def calls(routed: list[Routed]) -> list[dict[str, Any]]:
    return [value["payload"] for value in values(routed)]


def test_an_identify_has_the_documented_shape_whole():
    (record,) = Router(catalog(subscription()), TOPICS).route(change())
    id_ = derived_id("c-1", "crm", "identify", "u-17", "ana@example.com")
    at = "2026-01-31T10:00:00.000Z"
    assert record.topic == "p.destinations.crm"
    assert record.key == b"prf_1"
    assert dict(record.headers) == {"message-id": id_.encode(), "content-type": b"application/json"}
    expected = {
        "id": id_,
        "destination": "crm",
        "profile": "prf_1",
        "sequence": 3,
        "at": at,
        "origin": "live",
        "computation": {
            "class": "audience",
            "id": definition_id("audience", "big_spenders"),
            "key": "big_spenders",
        },
        "payload": {
            "type": "identify",
            "messageId": id_,
            "timestamp": at,
            "userId": "u-17",
            "traits": {"big_spenders": True, "email": "ana@example.com"},
            "context": {"personas": personas("big_spenders")},
            "integrations": {"All": False, "crm": True},
        },
    }
    assert orjson.loads(record.value) == expected
    assert list(orjson.loads(record.value)) == list(expected)


@pytest.mark.parametrize(("value", "name"), [(True, "Audience Entered"), (False, "Audience Exited")])
def test_a_track_has_the_documented_shape_whole(value, name):
    (call,) = calls(Router(catalog(subscription(calls=("track",))), TOPICS).route(change(value=value)))
    assert call == {
        "type": "track",
        "messageId": call["messageId"],
        "timestamp": "2026-01-31T10:00:00.000Z",
        "userId": "u-17",
        "event": name,
        "properties": {"audience_key": "big_spenders", "big_spenders": value},
        "context": {"traits": {"email": "ana@example.com"}, "personas": personas("big_spenders")},
        "integrations": {"All": False, "crm": True},
    }


def test_a_trait_is_a_trait_computed_and_null_is_sent_as_null():
    router = Router(catalog(subscription("orders", "trait", calls=BOTH)), TOPICS)
    identify, track = calls(router.route(change("orders", "trait", 4)))
    assert identify["traits"] == {"orders": 4, "email": "ana@example.com"}
    assert (track["event"], track["properties"]) == ("Trait Computed", {"trait_key": "orders", "orders": 4})
    assert track["context"]["personas"] == personas("orders", "trait")
    identify, track = calls(router.route(change("orders", "trait", None)))
    assert identify["traits"]["orders"] is None
    assert track["properties"] == {"trait_key": "orders", "orders": None}


def test_each_call_and_destination_gets_its_own_id_and_a_repeat_the_same():
    router = Router(catalog(subscription(calls=BOTH), subscription(calls=BOTH, destination="mail")), TOPICS)
    first = router.route(change())
    assert len({value["id"] for value in values(first)}) == 4
    assert [value["payload"]["messageId"] for value in values(first)] == [value["id"] for value in values(first)]
    assert router.route(change()) == first
    assert (
        Router(catalog(subscription(calls=BOTH), subscription(calls=BOTH, destination="mail")), TOPICS).route(change())
        == first
    )
    assert {value["id"] for value in values(first)}.isdisjoint(v["id"] for v in values(router.route(change(id_="c-2"))))


def test_several_emails_give_a_message_each_with_the_user_id_exits_too():
    who = (("email", "a@x.org"), ("user_id", "u-17"), ("anonymous_id", "an-1"), ("email", "b@x.org"))
    for value in (True, False):
        found = calls(Router(catalog(subscription()), TOPICS).route(change(value=value, identifiers=who)))
        assert [(call["userId"], call["traits"]["email"]) for call in found] == [
            ("u-17", "a@x.org"),
            ("u-17", "b@x.org"),
        ]
        assert len({call["messageId"] for call in found}) == 2
        assert all("anonymousId" not in call for call in found)


def test_a_profile_without_user_id_is_addressed_by_anonymous_id_and_by_nothing_where_there_is_none():
    router = Router(catalog(subscription()), TOPICS)
    (call,) = calls(router.route(change(identifiers=(("anonymous_id", "an-1"),))))
    assert call["anonymousId"] == "an-1"
    assert "userId" not in call
    assert call["traits"] == {"big_spenders": True}
    (call,) = calls(router.route(change(identifiers=(("email", "a@x.org"),))))
    assert "anonymousId" not in call
    assert call["traits"]["email"] == "a@x.org"


def test_an_email_known_only_as_a_trait_goes_along_and_anything_but_text_does_not():
    router = Router(catalog(subscription(calls=BOTH)), TOPICS)
    who = (("user_id", "u-17"),)
    identify, track = calls(router.route(change(identifiers=who, custom={"email": "c@x.org"})))
    assert identify["traits"]["email"] == track["context"]["traits"]["email"] == "c@x.org"
    identify, track = calls(router.route(change(identifiers=who, custom={"email": 7})))
    assert "email" not in identify["traits"]
    assert "traits" not in track["context"]


def test_enrichment_takes_computed_before_custom_and_leaves_out_what_is_absent():
    router = Router(catalog(subscription(calls=BOTH, traits=("name", "orders", "vip", "gone"))), TOPICS)
    computed = {"orders": 4, "vip": False}
    identify, track = calls(router.route(change(custom={"name": "Ana", "orders": 9}, computed=computed)))
    along = {"email": "ana@example.com", "name": "Ana", "orders": 4, "vip": False}
    assert identify["traits"] == {"big_spenders": True, **along}
    assert track["context"]["traits"] == along
    assert track["properties"] == {"audience_key": "big_spenders", "big_spenders": True}


def test_mapping_renames_own_and_enrichment_keys_but_no_identifier():
    names = (("big_spenders", "is_big"), ("name", "full_name"), ("email", "mail"))
    router = Router(catalog(subscription(calls=BOTH, traits=("name",), mapping=names)), TOPICS)
    identify, track = calls(router.route(change(custom={"name": "Ana"})))
    assert identify["traits"] == {"is_big": True, "email": "ana@example.com", "full_name": "Ana"}
    assert track["properties"] == {"audience_key": "big_spenders", "is_big": True}
    assert identify["context"]["personas"]["computation_key"] == "big_spenders"


def test_enrichment_never_overwrites_the_value_itself():
    router = Router(catalog(subscription(traits=("name",), mapping=(("name", "big_spenders"),))), TOPICS)
    (call,) = calls(router.route(change(custom={"name": "Ana"})))
    assert call["traits"]["big_spenders"] is True


def test_event_names_are_the_connections_own():
    names = (("entered", "Hello"), ("exited", "Goodbye"))
    router = Router(catalog(subscription(calls=("track",), event_names=names)), TOPICS)
    assert calls(router.route(change()))[0]["event"] == "Hello"
    assert calls(router.route(change(value=False)))[0]["event"] == "Goodbye"


def test_a_change_goes_only_to_subscribers_of_its_definition_and_kind():
    router = Router(catalog(subscription("other"), subscription("big_spenders", "trait")), TOPICS)
    assert router.route(change()) == []


def test_a_group_call_says_nothing_of_a_user():
    assert Router(catalog(subscription(calls=("group",))), TOPICS).route(change()) == []


def test_values_that_json_cannot_hold_stop_nothing():
    router = Router(catalog(subscription("sum", "trait")), TOPICS)
    (call,) = calls(router.route(change("sum", "trait", 2**70)))
    assert call["traits"]["sum"] == float(2**70)
    (call,) = calls(router.route(change("sum", "trait", [10**400, "\ud800", True, {"k": 2**64}])))
    assert call["traits"]["sum"] == [None, "?", True, {"k": float(2**64)}]


@pytest.mark.parametrize(
    ("made", "type_"),
    [
        (change(), b"headwater.audience.entered"),
        (change(value=False, previous=True), b"headwater.audience.exited"),
        (change("orders", "trait", 4, previous=3), b"headwater.trait.computed"),
    ],
)
def test_a_cloud_event_in_binary_mode(made, type_):
    event = Router(catalog(), TOPICS).cloud_event(made)
    assert (event.topic, event.key) == ("p.changes", b"prf_1")
    assert dict(event.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"c-1",
        "ce_type": type_,
        "ce_source": b"/spaces/spa_demo",
        "ce_subject": b"prf_1",
        "ce_time": b"2026-01-31T10:00:00.000Z",
        "content-type": b"application/json",
        "message-id": b"c-1",
    }
    assert orjson.loads(event.value) == {
        "profile": "prf_1",
        "identifiers": [{"type": "user_id", "value": "u-17"}, {"type": "email", "value": "ana@example.com"}],
        "key": made.key,
        "value": made.value,
        "previous": made.previous,
        "at": "2026-01-31T10:00:00.000Z",
        "origin": "live",
    }


def test_a_lists_payload_goes_to_its_one_partition_and_names_who_became_part_of_the_profile():
    merged = msgspec.structs.replace(change(), absorbed=("prf_2", "prf_3"))
    (to_list,) = Router(catalog(subscription(lists=True)), TOPICS).route(merged)
    (to_each,) = Router(catalog(subscription()), TOPICS).route(merged)
    assert (to_list.partition, to_each.partition) == (0, None)
    assert parse_payload(to_list.value).absorbed == ("prf_2", "prf_3")
    assert parse_payload(to_each.value).absorbed == ()
