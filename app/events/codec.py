"""Bytes ↔ a checked message. What is not valid raises `InvalidEvent` with one of its closed reasons.

The limits come before parsing: a few kilobytes of brackets must cost nothing and stop nothing.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

import orjson

from app.errors import InvalidEvent, InvalidEventReason
from app.events.model import MESSAGE_TYPES, Message, id_text

EVENT_BYTES_MAX = 32 * 1024
"""A larger message is refused; the tracking API and the SDKs have the same limit."""

DEPTH_MAX = 200
"""Objects and arrays inside one another; beyond it a value could not even be written as text again."""

_FIELDS: dict[str, type] = {
    "properties": dict,
    "traits": dict,
    "context": dict,
    "event": str,
    "messageId": str,
    "userId": str,
    "anonymousId": str,
    "groupId": str,
    "previousId": str,
    "sourceId": str,
}
"""What is read later, and its type; ids may be integers too. Anything may be null or missing."""

# Possessive, so that a text full of quotes costs no more than its length.
_IN_STRINGS = re.compile(rb'"(?:[^"\\]+|\\.)*+"?', re.DOTALL)


def decode(value: bytes | None) -> Message:
    """The message in a record's value.

    Raises:
        InvalidEvent: with the reason and, in words, what its sender has to change.
    """
    if value is None:
        raise InvalidEvent(InvalidEventReason.NULL_VALUE, "the record has no value; send a JSON object")
    if len(value) > EVENT_BYTES_MAX:
        raise InvalidEvent(
            InvalidEventReason.TOO_LARGE, f"{len(value):,} bytes; a message may have {EVENT_BYTES_MAX:,}"
        )
    # Brackets inside strings count too at first: only a message that has many is looked at more closely.
    if value.count(b"[") + value.count(b"{") > DEPTH_MAX and _depth(value) > DEPTH_MAX:
        raise InvalidEvent(InvalidEventReason.TOO_DEEP, f"nested more than {DEPTH_MAX} levels deep")
    try:
        message = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(InvalidEventReason.NOT_JSON, f"not JSON: {error}") from None
    if type(message) is not dict:
        raise InvalidEvent(InvalidEventReason.NOT_AN_OBJECT, "JSON, but not an object")
    check(message)
    return message


def check(message: Message) -> None:
    """The types of all fields that are read later; those that nothing reads may be anything.

    Raises:
        InvalidEvent: `unknown_type`, `field_missing`, `wrong_field_type` or `no_identifier`.
    """
    kind = message.get("type")
    if type(kind) is not str or kind not in MESSAGE_TYPES:
        raise InvalidEvent(InvalidEventReason.UNKNOWN_TYPE, f"type has to be one of {', '.join(sorted(MESSAGE_TYPES))}")
    # One pass over what is there is cheaper than asking for each field that may be.
    for name, held in message.items():
        wanted = _FIELDS.get(name)
        if wanted is None or held is None or type(held) is wanted:
            continue
        if wanted is dict:
            raise InvalidEvent(InvalidEventReason.WRONG_FIELD_TYPE, f"{name} has to be an object")
        if name == "event" or id_text(held) is None:
            raise InvalidEvent(InvalidEventReason.WRONG_FIELD_TYPE, f"{name} has to be a string")
    if kind == "track" and not message.get("event"):
        raise InvalidEvent(InvalidEventReason.FIELD_MISSING, "a track call needs the name of its event")


def _depth(value: bytes) -> int:
    deepest = depth = 0
    for byte in _IN_STRINGS.sub(b"", value):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def dead_letter(
    *, reason: str, message: str, topic: str, partition: int, offset: int, at: str, original: bytes | None
) -> dict[str, Any]:
    """The value of a record of `events.dead`; `original` is base64, cut at 64 KiB of the original bytes."""
    return {
        "reason": reason,
        "message": message,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "at": at,
        "original": None if original is None else b64encode(original[: 64 * 1024]).decode(),
    }
