"""What is a message and what is not, with the reason for each."""

from __future__ import annotations

import time
from base64 import b64decode
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidEvent, InvalidEventReason
from app.events.codec import DEPTH_MAX, EVENT_BYTES_MAX, check, dead_letter, decode

GOOD: dict[str, Any] = {"type": "track", "event": "Order Completed", "userId": "u1", "properties": {"total": 9.5}}
R = InvalidEventReason


def raw(**fields: Any) -> bytes:
    return orjson.dumps({**GOOD, **fields})


def nested(levels: int) -> bytes:
    """A good message whose properties are so deep that the whole has this many levels."""
    inner = levels - 2
    return raw(properties={"a": 0})[:-3] + b"[" * inner + b"]" * inner + b"}}"


MALFORMED: list[tuple[str, bytes | None, InvalidEventReason]] = [
    ("null value", None, R.NULL_VALUE),
    ("empty", b"", R.NOT_JSON),
    ("not JSON", b"hello", R.NOT_JSON),
    ("cut", raw()[:-5], R.NOT_JSON),
    ("two documents", raw() + raw(), R.NOT_JSON),
    ("NaN", b'{"type":"track","event":"e","userId":"u","properties":{"a":NaN}}', R.NOT_JSON),
    ("Infinity", b'{"type":"track","event":"e","userId":"u","properties":{"a":-Infinity}}', R.NOT_JSON),
    ("lone surrogate", b'{"type":"track","event":"\\ud800","userId":"u"}', R.NOT_JSON),
    ("bad UTF-8", b'{"type":"track","event":"\xff\xfe","userId":"u"}', R.NOT_JSON),
    ("single quotes", b"{'type': 'track'}", R.NOT_JSON),
    ("a byte-order mark", b"\xef\xbb\xbf" + raw(), R.NOT_JSON),
    ("a list", b"[1]", R.NOT_AN_OBJECT),
    ("a number", b"1", R.NOT_AN_OBJECT),
    ("null", b"null", R.NOT_AN_OBJECT),
    ("32 KiB and a byte", raw(properties={"a": "x" * EVENT_BYTES_MAX})[: EVENT_BYTES_MAX + 1], R.TOO_LARGE),
    ("5 MB", b"x" * 5_000_000, R.TOO_LARGE),
    ("100,000 brackets", b"[" * 100_000, R.TOO_LARGE),
    ("30,000 brackets", b"[" * 30_000, R.TOO_DEEP),
    ("30,000 braces", b'{"a":' * 5_000, R.TOO_DEEP),
    ("one level too deep", nested(DEPTH_MAX + 1), R.TOO_DEEP),
    ("no type", orjson.dumps({"userId": "u"}), R.UNKNOWN_TYPE),
    ("unknown type", raw(type="purchase"), R.UNKNOWN_TYPE),
    ("a type that is a list", raw(type=["track"]), R.UNKNOWN_TYPE),
    ("another case", raw(type="Track"), R.UNKNOWN_TYPE),
    ("no event", raw(event=None), R.FIELD_MISSING),
    ("an empty event", raw(event=""), R.FIELD_MISSING),
    ("event is a number", raw(event=5), R.WRONG_FIELD_TYPE),
    ("properties is a list", raw(properties=[1]), R.WRONG_FIELD_TYPE),
    ("traits is a string", raw(traits="x"), R.WRONG_FIELD_TYPE),
    ("context is true", raw(context=True), R.WRONG_FIELD_TYPE),
    ("userId is an object", raw(userId={}), R.WRONG_FIELD_TYPE),
    ("userId is true", raw(userId=True), R.WRONG_FIELD_TYPE),
    ("anonymousId is 1.5", raw(anonymousId=1.5), R.WRONG_FIELD_TYPE),
    ("messageId is a list", raw(messageId=[]), R.WRONG_FIELD_TYPE),
    ("messageId is false", raw(messageId=False), R.WRONG_FIELD_TYPE),
]


@pytest.mark.parametrize(("value", "reason"), [each[1:] for each in MALFORMED], ids=[each[0] for each in MALFORMED])
def test_malformed(value: bytes | None, reason: InvalidEventReason) -> None:
    started_s = time.process_time()
    with pytest.raises(InvalidEvent) as refused:
        decode(value)
    assert refused.value.reason is reason, refused.value.message
    assert refused.value.message
    assert time.process_time() - started_s < 0.5, "a refusal must cost next to nothing"


def test_every_reason_is_tried() -> None:
    # That nobody owns a message is for identity to say.
    assert {reason for _, _, reason in MALFORMED} == set(R) - {R.NO_IDENTIFIER}


@pytest.mark.parametrize(
    "value",
    [
        raw(),
        raw(userId=5, messageId=7),
        raw(properties=None, traits=None, context=None, userId=None),
        raw(timestamp=[], unknown={"a": [1]}),
        raw(event="[" * 1_000),
        raw(event='\\"[' * 300),
        raw(properties={"a": "é 💧 \u0000"}),
        raw(properties={"big": 10**18, "small": 5e-324}),
        nested(DEPTH_MAX),
        b" \n" + raw() + b"\t ",
        orjson.dumps({"type": "page"}),
    ],
)
def test_good(value: bytes) -> None:
    message = decode(value)
    assert decode(orjson.dumps(message)) == message


def test_the_limit_itself_is_allowed() -> None:
    padding = EVENT_BYTES_MAX - len(raw(properties={"a": ""}))
    assert decode(raw(properties={"a": "x" * padding}))["properties"]["a"]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_message_or_refused(value: bytes) -> None:
    # Anything but InvalidEvent would stop the partition.
    with suppress(InvalidEvent):
        check(decode(value))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["type", "event", "userId", "anonymousId", "messageId", "properties", "traits", "context"]),
        json_values | st.sampled_from(["track", "identify", "page"]),
    )
)
def test_any_object_is_a_message_or_refused(message: dict[str, Any]) -> None:
    with suppress(InvalidEvent):
        decode(orjson.dumps(message))


def test_dead_letter_holds_the_original_up_to_64_kib() -> None:
    places = {"topic": "events.raw", "partition": 1, "offset": 2, "at": "2026-01-01T00:00:00.000Z"}
    letter = dead_letter(reason="too_large", message="m", original=b"ab" * 50_000, **places)  # type: ignore[arg-type]
    assert b64decode(letter["original"]) == b"ab" * 32_768
    assert {name: letter[name] for name in places} == places
    assert dead_letter(reason="null_value", message="m", original=None, **places)["original"] is None  # type: ignore[arg-type]
