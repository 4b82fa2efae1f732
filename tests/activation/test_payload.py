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
