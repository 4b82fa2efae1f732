"""What identifies in a message, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from app.identity.identifiers import Identifiers, with_previous
from app.identity.rules import Extra, IdentityRules, LinkRules

RULES = IdentityRules()


def of(fields: dict[str, Any], rules: IdentityRules = RULES) -> list[tuple[str, str]]:
    return Identifiers(rules).of({"type": "track", **fields})


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"userId": "u"}, [("user_id", "u")]),
        ({"anonymousId": "a", "userId": "u"}, [("user_id", "u"), ("anonymous_id", "a")]),
        ({"userId": None, "anonymousId": "a"}, [("anonymous_id", "a")]),
        ({"userId": 42}, [("user_id", "42")]),
        ({"userId": "null "}, [("user_id", "null ")]),
        ({"userId": "0a"}, [("user_id", "0a")]),
        ({"userId": True}, []),
        ({"context": {"traits": {"email": "e"}}}, [("email", "e")]),
        ({"traits": {"email": "not of a track"}}, []),
        ({"context": {"traits": ["email"]}}, []),
        ({"context": {"traits": {"email": {"a": 1}}}}, []),
        ({"context": {"device": "phone"}}, []),
        ({"context": {"device": {"type": "toaster", "advertisingId": "x"}}}, []),
        ({"context": {"device": {"type": ["android"], "advertisingId": "x"}}}, []),
        ({"context": {"device": {"type": "android", "advertisingId": "00000-0", "id": "d"}}}, [("android.id", "d")]),
        ({"context": None}, []),
    ],
)
def test_each_message_s_own_identifiers(fields: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert of(fields) == found


@pytest.mark.parametrize(
    "fields",
    [{}, {"userId": ""}, {"anonymousId": "anonymous"}, {"userId": "-1", "anonymousId": "000"}, {"userId": "---"},
     {"userId": 0}, {"userId": "NULL"}, {"userId": "00000000-0000-0000-0000-000000000000"}],
)  # fmt: skip
def test_placeholders_identify_nobody(fields: dict[str, Any]) -> None:
    assert of(fields) == []


def test_the_strongest_type_comes_first_and_the_rest_by_alphabet() -> None:
    message = {
        "type": "identify",
        "userId": 7,
        "anonymousId": "a",
        "traits": {"email": "ann@example.org"},
        "context": {
            "device": {"type": "ios", "advertisingId": "idfa", "id": "d"},
            "traits": {"email": "not this"},
            "externalIds": [external("crm_id", "c"), external("ads_id", "x")],
        },
    }
    found = [kind for kind, _ in Identifiers(RULES).of(message)]
    assert found == ["user_id", "email", "ads_id", "anonymous_id", "crm_id", "ios.id", "ios.idfa"]


@pytest.mark.parametrize("device", ["android", "ios"])
def test_the_usual_order_needs_no_sorting(device: str) -> None:
    fields = {
        "userId": "u", "anonymousId": "a",
        "context": {"traits": {"email": "e"}, "device": {"type": device, "id": "d", "advertisingId": "i"}},
    }  # fmt: skip
    found = of(fields)
    assert len(found) == 5
    assert found == sorted(found, key=LinkRules().rank)


def test_priority_is_as_configured() -> None:
    rules = IdentityRules(link=LinkRules(priority=("anonymous_id", "email")))
    found = of({"userId": "u", "anonymousId": "a", "context": {"traits": {"email": "e"}}}, rules)
    assert [kind for kind, _ in found] == ["anonymous_id", "email", "user_id"]


def external(kind: Any, value: Any, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "id": value, "collection": "users", "encoding": "none", **fields}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([external("crm_id", 7)], [("crm_id", "7")]),
        ([external("crm_id", "a"), external("crm_id", "a"), external("crm_id", "b")],
         [("crm_id", "a"), ("crm_id", "b")]),
        ([external("crm_id", "a", collection="accounts")], []),
        ([external("crm_id", "a", encoding="sha256")], []),
        ([external("crm_id", "null")], []),
        ([external("a:b", "c")], []),
        ([external("\x1fa", "c")], []),
        ([external("", "c")], []),
        ([external(None, "c")], []),
        (["crm_id", None, 7], []),
        ({"type": "crm_id"}, []),
    ],
)  # fmt: skip
def test_external_ids(given: Any, found: list[tuple[str, str]]) -> None:
    assert of({"context": {"externalIds": given}}) == found


def test_configured_traits_and_properties_identify_too() -> None:
    rules = IdentityRules(
        extra=(
            Extra("phone", "trait", "contact.phone"),
            Extra("coupon", "property", r"coupon\.code"),
            Extra("sku", "property", "products.$.sku"),
        )
    )
    traits = {"contact": {"phone": "+31"}}
    properties = {"coupon.code": 8, "products": [{"sku": "s1"}, {"sku": None}, {"sku": "-1"}, {"sku": "s1"}]}
    assert of({"context": {"traits": traits}, "properties": properties}, rules) == [
        ("coupon", "8"), ("phone", "+31"), ("sku", "s1"),
    ]  # fmt: skip
    assert Identifiers(rules).of({"type": "identify", "traits": traits}) == [("phone", "+31")]
    assert of({"traits": traits, "properties": None}, rules) == []


def test_rules_replace_the_blocked_words_but_not_the_empty_ones() -> None:
    rules = IdentityRules(blocked=frozenset({"guest"}), blocked_patterns=("test-*", "qa[0-9]@example.?om"))
    blocked = ["Guest", "", "0-0", "TEST-1", "test-", "qa7@example.com"]
    allowed = ["anonymous", "a-test-1", "qaX@example.com", "qa7@example.com.org", "test"]
    assert [value for value in (*blocked, *allowed) if of({"userId": value}, rules)] == allowed


def test_a_long_value_against_many_stars_takes_no_time() -> None:
    # With a backtracking match this would not end.
    rules = IdentityRules(blocked_patterns=("*a*a*a*a*a*a*a*a*a*a*a*a*b",))
    assert of({"userId": "a" * 5_000}, rules)


def test_an_alias_names_a_previous_id() -> None:
    identifiers = Identifiers(RULES)
    assert identifiers.previous({"type": "alias", "previousId": 7}) == "7"
    assert identifiers.previous({"type": "alias", "previousId": "null"}) is None
    assert identifiers.previous({"type": "track", "previousId": "x"}) is None


def test_a_previous_id_stands_behind_the_user_id_and_before_the_anonymous_id() -> None:
    usable = [("user_id", "u"), ("email", "e"), ("anonymous_id", "a")]
    rules = LinkRules()
    assert with_previous(usable, ("user_id", "v"), rules) == [usable[0], ("user_id", "v"), *usable[1:]]
    assert with_previous(usable, ("anonymous_id", "b"), rules) == [*usable[:2], ("anonymous_id", "b"), usable[2]]
    assert with_previous(usable, ("anonymous_id", "a"), rules) == usable
    assert with_previous([], ("user_id", "v"), rules) == [("user_id", "v")]
