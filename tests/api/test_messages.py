"""A tracking call's body becomes the messages that the log holds."""

import time

import orjson
import pytest

from app.api.messages import BATCH_BYTES_MAX, Arrival, Refused, batch, parse, single
from app.ids import TimeMs

RECEIVED = TimeMs(1_769_853_600_000)
ARRIVAL = Arrival("web", RECEIVED)
RECEIVED_TEXT = "2026-01-31T10:00:00.000Z"


def one(body: dict[str, object]) -> dict[str, object]:
    ((_, value),) = batch({"batch": [body]}, ARRIVAL)
    found = orjson.loads(value)
    assert isinstance(found, dict)
    return found


def test_a_single_call_takes_its_type_from_its_path() -> None:
    key, value = single("track", {"userId": "u", "event": "E", "type": "page", "writeKey": "secret"}, ARRIVAL)
    message = orjson.loads(value)
    assert key == b"u"
    assert message.pop("messageId").startswith("api-")
    assert message == {
        "type": "track",
        "userId": "u",
        "event": "E",
        "receivedAt": RECEIVED_TEXT,
        "sourceId": "web",
    }


@pytest.mark.parametrize(
    ("ids", "key"),
    [
        ({"userId": "u", "anonymousId": "a"}, b"u"),
        ({"anonymousId": "a"}, b"a"),
        ({"userId": "", "anonymousId": "a"}, b"a"),
        ({"userId": 17}, b"17"),
        ({"userId": None}, None),
        ({"userId": ["x"]}, None),
        ({}, None),
    ],
)
def test_the_key_is_the_user_else_the_anonymous_id(ids: dict[str, object], key: bytes | None) -> None:
    assert single("track", ids, ARRIVAL)[0] == key


def test_ids_of_messages_are_kept_or_made_anew() -> None:
    assert one({"messageId": "m1"})["messageId"] == "m1"
    made = {one({})["messageId"] for _ in range(100)}
    assert len(made) == 100


def test_a_batchs_context_is_each_messages_own_unless_it_says_otherwise() -> None:
    body = {
        "context": {"ip": "1.2.3.4", "app": {"name": "a"}},
        "integrations": {"All": False},
        "batch": [{"type": "track"}, {"type": "track", "context": {"ip": "9.9.9.9"}}, {"context": "wrong"}],
    }
    first, second, third = (orjson.loads(value) for _, value in batch(body, ARRIVAL))
    assert first["context"] == {"ip": "1.2.3.4", "app": {"name": "a"}}
    assert first["integrations"] == {"All": False}
    assert second["context"] == {"ip": "9.9.9.9", "app": {"name": "a"}}
    assert third["context"] == "wrong"


def test_a_sender_cannot_say_whose_source_it_is_or_when_it_was_received() -> None:
    message = one({"sourceId": "other", "receivedAt": "2000-01-01T00:00:00Z"})
    assert (message["sourceId"], message["receivedAt"]) == ("web", RECEIVED_TEXT)


def test_a_clock_that_is_an_hour_behind_is_corrected() -> None:
    body = {"sentAt": "2026-01-31T09:00:00.000Z", "batch": [{"timestamp": "2026-01-31T08:59:30.000Z"}]}
    message = orjson.loads(batch(body, ARRIVAL)[0][1])
    assert message["timestamp"] == "2026-01-31T09:59:30.000Z"
    assert message["originalTimestamp"] == "2026-01-31T08:59:30.000Z"
    assert message["sentAt"] == "2026-01-31T09:00:00.000Z"


def test_a_clock_that_is_ahead_is_corrected_too() -> None:
    message = one({"sentAt": "2026-01-31T12:00:05Z", "timestamp": "2026-01-31T12:00:00Z"})
    assert message["timestamp"] == "2026-01-31T09:59:55.000Z"


@pytest.mark.parametrize(
    "body",
    [
        {"timestamp": "2026-01-31T08:59:30.000Z"},
        {"timestamp": "yesterday", "sentAt": "2026-01-31T09:00:00.000Z"},
        {"timestamp": "2026-01-31T08:59:30.000Z", "sentAt": 17},
        {"timestamp": "2027-01-31T08:59:30.000Z", "sentAt": "2026-01-31T09:00:00.000Z"},
        {"timestamp": "0001-01-01T00:00:00.000Z", "sentAt": "2026-01-31T09:00:00.000Z"},
    ],
)
def test_a_timestamp_that_cannot_be_corrected_is_left_alone(body: dict[str, object]) -> None:
    assert one(dict(body))["timestamp"] == body["timestamp"]


def test_what_is_no_message_is_sent_on_to_become_a_dead_letter() -> None:
    assert batch({"batch": [3, None, "x", [1]]}, ARRIVAL) == [
        (None, b"3"),
        (None, b"null"),
        (None, b'"x"'),
        (None, b"[1]"),
    ]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'{"a": NaN}', "not_json"),
        (b'{"a": "\xff"}', "not_json"),
        (b'{"a": "\\ud800"}', "not_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
        (b'{"a":' + b"[" * 100_000, "too_deep"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "too_deep"),
        (b" " * (BATCH_BYTES_MAX + 1), "too_large"),
    ],
)
def test_bodies_that_are_refused_whole(body: bytes, code: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(body)
    assert caught.value.code == code


def test_brackets_in_texts_are_not_depth() -> None:
    text = "[" * 1_000 + '\\"' + "{" * 1_000
    assert parse(orjson.dumps({"a": text, "b": [text] * 3}))["a"] == text


def test_no_body_costs_more_than_its_length() -> None:
    hostile = b'{"a":' + b"[" * 300 + b'"' + b'\\"' * ((BATCH_BYTES_MAX - 400) // 2)
    started_s = time.perf_counter()
    with pytest.raises(Refused):
        parse(hostile)
    assert time.perf_counter() - started_s < 2.0


def test_a_single_event_over_its_limit_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        single("track", {"userId": "u", "event": "E", "properties": {"a": "x" * 32_768}}, ARRIVAL)
    assert caught.value.code == "too_large"


def test_batches_are_lists_of_a_bounded_length() -> None:
    for body, code in (({}, "bad_batch"), ({"batch": {}}, "bad_batch"), ({"batch": [{}] * 2_501}, "too_many")):
        with pytest.raises(Refused) as caught:
            batch(body, ARRIVAL)
        assert caught.value.code == code
