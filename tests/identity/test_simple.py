from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidEvent, InvalidEventReason
from app.identity.simple import IdentityRules, identifiers_of, owner_of

RULES = IdentityRules()


@pytest.mark.parametrize(
    ("fields", "owner"),
    [
        ({"userId": "u"}, ("user_id", "u")),
        ({"userId": "u", "anonymousId": "a"}, ("user_id", "u")),
        ({"userId": None, "anonymousId": "a"}, ("anonymous_id", "a")),
        ({"userId": "", "anonymousId": "a"}, ("anonymous_id", "a")),
        ({"userId": "NULL", "anonymousId": "a"}, ("anonymous_id", "a")),
        ({"userId": "00000000-0000-0000-0000-000000000000", "anonymousId": "a"}, ("anonymous_id", "a")),
        ({"userId": 42}, ("user_id", "42")),
        ({"userId": "null "}, ("user_id", "null ")),
        ({"userId": "0a"}, ("user_id", "0a")),
    ],
)
def test_owner_is_the_user_id_else_the_anonymous_id(fields: dict[str, Any], owner: tuple[str, str]) -> None:
    assert owner_of(identifiers_of({"type": "track", **fields}, RULES)) == owner


@pytest.mark.parametrize(
    "fields",
    [{}, {"userId": None}, {"userId": ""}, {"anonymousId": "anonymous"}, {"userId": "-1", "anonymousId": "000"},
     {"userId": "---"}, {"userId": True}, {"userId": 0}],
)  # fmt: skip
def test_placeholders_identify_nobody(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent) as refused:
        owner_of(identifiers_of({"type": "track", **fields}, RULES))
    assert refused.value.reason is InvalidEventReason.NO_IDENTIFIER


def test_rules_replace_the_blocked_words_but_not_the_empty_ones() -> None:
    rules = IdentityRules(frozenset({"guest"}))
    assert not rules.allows("Guest")
    assert rules.allows("anonymous")
    assert not rules.allows("")
    assert not rules.allows("0-0")


def test_identifiers_in_order_of_priority() -> None:
    message = {
        "type": "identify",
        "userId": 7,
        "anonymousId": "a",
        "traits": {"email": "ann@example.org"},
        "context": {"device": {"type": "ios", "advertisingId": "idfa"}, "traits": {"email": "not this"}},
    }
    assert identifiers_of(message, RULES) == [
        ("user_id", "7"), ("email", "ann@example.org"), ("ios.idfa", "idfa"), ("anonymous_id", "a"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"context": {"traits": {"email": "e"}}}, [("email", "e")]),
        ({"traits": {"email": "not of a track"}}, []),
        ({"context": {"traits": ["email"]}}, []),
        ({"context": {"traits": {"email": {"a": 1}}}}, []),
        ({"context": {"device": "phone"}}, []),
        ({"context": {"device": {"type": "toaster", "advertisingId": "x"}}}, []),
        ({"context": {"device": {"type": ["android"], "advertisingId": "x"}}}, []),
        ({"context": {"device": {"type": "android", "advertisingId": "00000-0"}}}, []),
        ({"context": None}, []),
    ],
)
def test_fields_of_odd_types_bring_no_identifier(fields: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert identifiers_of({"type": "track", **fields}, RULES) == found
