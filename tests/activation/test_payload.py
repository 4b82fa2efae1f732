"""A sender reads what the router wrote, and knows what is none of it."""

import orjson
import pytest

from app.activation.payload import InvalidPayload, parse_payload
from app.activation.router import Router
from app.topics import Topics
from tests.activation.changes import catalog, change, subscription


def routed(made, **more):
    return [
        parse_payload(record.value)
        for record in Router(catalog(subscription(made.key, made.kind, calls=("identify", "track"), **more)), Topics())
        .route(made)
    ]  # fmt: skip


@pytest.mark.parametrize("mapping", [(), (("big_spenders", "is_big"),)])
@pytest.mark.parametrize(("value", "kind"), [(True, "entered"), (False, "exited")])
def test_membership_reads_back_under_any_name(value, kind, mapping):
    for payload in routed(change(value=value), mapping=mapping):
        assert (payload.kind, payload.value) == (kind, value)
        assert payload.ids == {"user_id": "u-17", "email": "ana@example.com"}


def test_a_trait_reads_back_even_with_a_key_that_looks_like_ours():
    for payload in routed(change("gift_key", "trait", [1])):
        assert (payload.kind, payload.value) == ("computed", [1])


def test_a_membership_that_is_no_boolean_is_not_false():
    payload = routed(change(value="true"))[0]
    with pytest.raises(InvalidPayload, match="neither true nor false"):
        _ = payload.kind


GOOD = Router(catalog(subscription()), Topics()).route(change())[0].value


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"id": "x"}',
        GOOD.replace(b'"sequence":3', b'"sequence":"3"'),
        GOOD.replace(b'"origin":"live"', b'"origin":"other"'),
        GOOD.replace(b'"audience"', b'"journey"'),
        GOOD.replace(b"u-17", b"\xff"),
        GOOD.replace(b"u-17", b"\\ud800"),
        b"[" * 100_000,
    ],
)
def test_anything_else_is_refused_by_name(value):
    with pytest.raises(InvalidPayload):
        parse_payload(value)


def test_unknown_fields_are_let_be():
    assert parse_payload(orjson.dumps(orjson.loads(GOOD) | {"more": 1})).sequence == 3


def journey(call, *, class_="journey_step", key="j_o_welcome"):
    value = orjson.loads(GOOD) | {"computation": {"class": class_, "id": "aud_7", "key": key}, "payload": call}
    return parse_payload(orjson.dumps(value))


@pytest.mark.parametrize("class_", ["audience", "journey_step"])
@pytest.mark.parametrize(
    ("told", "kind"), [(True, "entered"), (False, "exited"), ("true", "entered"), ("false", "exited")]
)
def test_a_step_of_a_first_generation_journey_reads_as_an_audience_even_where_it_is_text(class_, told, kind):
    identify = {"type": "identify", "userId": "u-17", "traits": {"recent_buyer": told}}
    track = {"type": "track", "userId": "u-17", "event": "Audience Entered",
             "properties": {"audience_key": "j_o_welcome", "recent_buyer": told}}  # fmt: skip
    for call in (identify, track):
        read = journey(call, class_=class_)
        assert (read.kind, read.name, read.value) == (kind, "recent_buyer", kind == "entered")


def test_text_is_no_membership_of_an_audience_that_is_no_journey():
    read = journey({"type": "identify", "traits": {"vip": "true"}}, class_="audience", key="vip")
    with pytest.raises(InvalidPayload, match="neither true nor false"):
        _ = read.kind


def test_a_step_of_a_journey_that_events_start_is_an_event_and_no_membership():
    properties = {"journey_context": {"cart": 12}, "journey_metadata": {"journey_id": "j", "epoch_id": "e"}}
    read = journey({"type": "track", "userId": "u-17", "event": "Cart left", "properties": properties}, key="cart")
    assert (read.kind, read.event, read.fields) == ("reached", "Cart left", properties)
