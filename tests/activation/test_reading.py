"""Reading replies, names and values as vendors want them, templates, and what is remembered for a while."""

import pytest

from app.activation.fields import (
    as_text,
    custom_field,
    letters_and_digits,
    lower_snake,
    renamed,
    texts,
    upper_snake,
)  # fmt: skip
from app.activation.memory import Memory
from app.activation.outcome import Delivered, Partial, Reason, Rejected, Response, Retry, by_index, by_status
from app.activation.payload import InvalidPayload, parse_payload
from app.activation.reply import UnreadableReply, dig, json_of, json_or_none, objects, word
from app.activation.reply import texts as texts_at
from app.activation.router import Router
from app.activation.template import check_template, filled, filled_url, filled_value, named, values
from app.topics import Topics
from tests.activation.changes import catalog, change, subscription


def test_a_reply_that_has_to_be_read_is_read_whole_or_not_at_all():
    assert json_of(Response(200, {}, b'{"a": 1}')) == {"a": 1}
    for body, complete in ((b'{"a": 1}', False), (b"", True), (b"<html>", True), (b"\xff", True)):
        with pytest.raises(UnreadableReply):
            json_of(Response(200, {}, body, complete))
        assert json_or_none(Response(200, {}, body, complete)) is None


def test_any_shape_can_be_looked_into():
    value = {"a": [{"b": "x"}, 5, {"b": 7}], "t": ["y", 1], "yes": True}
    assert dig(value, "a", 0, "b") == "x"
    assert dig(value, "a", -1, "b") == 7
    assert dig(value, "a", 3) is dig(value, "a", "b") is dig(value, 0) is dig(value, "a", 1, "b") is None
    assert objects(value, "a") == [{"b": "x"}, {}, {"b": 7}]
    assert objects(value, "b") == objects(None) == []
    assert texts_at(value, "t") == ["y"]
    assert [word(value, "a", 2, "b"), word(value, "yes"), word(value, "a")] == ["7", "", ""]


def test_items_that_are_not_named_were_delivered():
    bad = Rejected(Reason.REFUSED)
    assert by_index(3, {1: bad}) == Partial((Delivered(), bad, Delivered()))
    assert by_index(3, {}) == Delivered()


@pytest.mark.parametrize(
    ("text", "after_s"),
    [("1010", 10.0), ("1000", 0.0), ("1010.5", 10.5), ("999", None), ("soon", None), ("inf", None), ("nan", None)],
)
def test_a_limit_that_starts_anew_at_a_moment(text, after_s):
    assert by_status(Response(429, {"x-reset": text}), 1000, reset_header="x-reset") == Retry(Reason.THROTTLED, after_s)
    assert by_status(Response(429, {"x-reset": text, "retry-after": "3"}), 1000, reset_header="x-reset").after_s == 3


def test_names():
    assert letters_and_digits("first_time_shopper", chars_max=10) == "FIRSTTIMES"
    assert upper_snake("Größe der_letzten 30 Tage", chars_max=12) == "GR_SSE_DER_L"
    assert [lower_snake(name) for name in ("Big Spender", "30_days", "é")] == ["big_spender", "f_30_days", "f__"]
    assert [custom_field(name) for name in ("vip", "vip__c", "Title", "vIp")] == ["vip__c", "vip__c", "Title", "vIp"]


def test_of_two_fields_that_become_one_the_definitions_own_stays():
    assert renamed({"a b": 1, "a_b": 2, "c": 3}, lower_snake) == {"a_b": 1, "c": 3}


def test_values_as_texts():
    told = {"a": True, "b": None, "c": 4, "d": 4.5, "e": "x", "f": ["y", 1]}
    assert texts(told) == {"a": "true", "b": "", "c": "4", "d": "4.5", "e": "x", "f": '["y",1]'}
    assert as_text({"a": 1}) == '{"a":1}'


def payload(**more):
    return parse_payload(Router(catalog(subscription(calls=("track",))), Topics()).route(change(**more))[0].value)


def test_templates_are_filled_from_payloads():
    known = values(payload())
    assert filled("{{{key}}} {kind}: {email}", known) == "{big_spenders} entered: ana@example.com"
    assert filled_value("{value}", known) is True
    assert filled_value("{value}!", known) == "true!"
    assert filled_value("", known) == ""
    assert filled_url("https://h/{user_id}?a={event}", known) == "https://h/u-17?a=Audience%20Entered"
    assert named("{key}{value}{{email}}") == {"key", "value"}
    with pytest.raises(KeyError):
        filled("{anonymous_id}", known)


def test_a_value_becomes_no_other_part_of_a_url():
    known = values(payload(identifiers=(("user_id", "../x?a=b#c@d/é"),)))
    assert filled_url("https://h/u/{user_id}", known) == "https://h/u/..%2Fx%3Fa%3Db%23c%40d%2F%C3%A9"
    for dots in (".", ".."):
        with pytest.raises(InvalidPayload):
            filled_url("https://h/u/{user_id}?a=b", values(payload(identifiers=(("user_id", dots),))))
    assert (
        filled_url("https://h/u?id={user_id}", values(payload(identifiers=(("user_id", ".."),)))) == "https://h/u?id=.."
    )


@pytest.mark.parametrize(
    "text", ["{", "}", "{0}", "{}", "{user_id.__class__}", "{user_id[0]}", "{user_id!r}", "{email:>9}", "{x}"]
)
def test_a_template_reaches_no_further_than_its_names(text):
    assert check_template(text) is not None


def test_payloads_read_back_what_they_carry():
    made = subscription("orders", "trait", calls=("identify", "track"), traits=("plan",), mapping=(("plan", "tier"),))
    routed = Router(catalog(made), Topics()).route(change("orders", "trait", 4, custom={"plan": "pro"}))
    identify, track = (parse_payload(record.value) for record in routed)
    assert (identify.is_track, track.is_track) == (False, True)
    assert (identify.event, track.event) == ("", "Trait Computed")
    assert identify.fields == {"orders": 4, "tier": "pro"}
    assert track.fields == {"trait_key": "orders", "orders": 4}
    assert identify.traits == {"orders": 4, "email": "ana@example.com", "tier": "pro"}
    assert track.traits == {"email": "ana@example.com", "tier": "pro"}
    assert (track.at_ms, track.at_s) == (1_769_853_600_000, 1_769_853_600)


def test_memory_forgets_what_is_old_wrong_or_too_much():
    memory = Memory(entries_max=2)
    memory.keep("a", "1", until_s=10)
    memory.keep("b", "2", until_s=20)
    assert [memory.recall("a", 9.9), memory.recall("a", 10), memory.recall("b", 10)] == ["1", None, "2"]
    assert memory.recall("c", 0) is None
    memory.keep("a", "3", until_s=30)
    memory.keep("c", "4", until_s=30)
    assert [memory.recall(key, 0) for key in "abc"] == ["3", None, "4"]
    memory.forget("c")
    memory.forget("c")
    assert memory.recall("c", 0) is None
