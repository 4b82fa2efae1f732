"""A tracking call's body → the messages that go to `events.raw`; pure, the time is told.

One bad message among good ones is sent on as it came: it becomes a dead letter with its reason, and the others count.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from app.events.codec import DEPTH_MAX, EVENT_BYTES_MAX
from app.events.dates import instant
from app.events.model import id_text
from app.ids import TimeMs

BATCH_BYTES_MAX = 500 * 1024
BATCH_EVENTS_MAX = 2_500
_BODY_DEPTH_MAX = DEPTH_MAX + 2
"""A batch holds its messages two levels down."""
_STRINGS = re.compile(rb'"(?:[^"\\]+|\\.)*+"?', re.DOTALL)
"""Possessive, and an unclosed one runs to the end: no body can make it look at a byte more than twice."""
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NOT_THE_MESSAGES = frozenset({"writeKey", "batch"})

Json = Any


class Refused(Exception):
    """A body that is refused whole; `code` is a metric label, so the codes are a closed list of this module's."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the server knows of a call besides its body."""

    source: str
    received_ms: TimeMs


def parse(body: bytes) -> dict[str, Json]:
    """The JSON object in a body.

    Raises:
        Refused: too_large, too_deep, not_json, not_an_object.
    """
    if len(body) > BATCH_BYTES_MAX:
        raise Refused("too_large", f"a body may have {BATCH_BYTES_MAX} bytes unpacked", status=413)
    if body.count(b"[") + body.count(b"{") > _BODY_DEPTH_MAX and _depth(body) > _BODY_DEPTH_MAX:
        raise Refused("too_deep", f"nested more than {_BODY_DEPTH_MAX} levels deep")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused("not_json", f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refused("not_an_object", "the body has to be a JSON object")
    return found


def single(kind: str, body: Mapping[str, Json], arrival: Arrival) -> tuple[bytes | None, bytes]:
    """The record (key, value) of a call to `/v1/<kind>`.

    Raises:
        Refused: too_large.
    """
    message = {name: value for name, value in body.items() if name != "writeKey"}
    key, value = _record({**message, "type": kind}, {}, arrival)
    if len(value) > EVENT_BYTES_MAX:
        raise Refused("too_large", f"an event may have {EVENT_BYTES_MAX} bytes")
    return key, value


def batch(body: Mapping[str, Json], arrival: Arrival) -> list[tuple[bytes | None, bytes]]:
    """The records (key, value) of a call to `/v1/batch`, in the batch's order.

    Raises:
        Refused: bad_batch, too_many.
    """
    messages = body.get("batch")
    if not isinstance(messages, list):
        raise Refused("bad_batch", "`batch` has to be a list of messages")
    if len(messages) > BATCH_EVENTS_MAX:
        raise Refused("too_many", f"a batch may have {BATCH_EVENTS_MAX} events")
    common = {name: value for name, value in body.items() if name not in _NOT_THE_MESSAGES}
    return [_record(message, common, arrival) for message in messages]


def _record(message: Json, common: Mapping[str, Json], arrival: Arrival) -> tuple[bytes | None, bytes]:
    if not isinstance(message, dict):
        return None, orjson.dumps(message)
    for name in ("context", "integrations"):
        merged = _merged(common.get(name), message.get(name))
        if merged is not None:
            message[name] = merged
    if not message.get("messageId"):
        message["messageId"] = f"api-{secrets.token_hex(16)}"
    sent_at = message.get("sentAt", common.get("sentAt"))
    _correct_clock(message, sent_at, arrival.received_ms)
    message["receivedAt"] = iso(arrival.received_ms)
    message["sourceId"] = arrival.source
    key = id_text(message.get("userId")) or id_text(message.get("anonymousId"))
    return (key.encode() if key else None), orjson.dumps(message)


def _merged(common: Json, own: Json) -> Json:
    """A batch's context is that of each message which does not say otherwise; key by key."""
    if isinstance(common, dict) and (own is None or isinstance(own, dict)):
        return {**common, **(own or {})}
    return own


def _correct_clock(message: dict[str, Json], sent_at: Json, received_ms: TimeMs) -> None:
    """What the sender's clock called `sentAt` was about now, so its `timestamp` is off by the difference."""
    sent_ms, own_ms = instant(sent_at), instant(message.get("timestamp"))
    if sent_ms is None or own_ms is None:
        return
    message["originalTimestamp"] = message["timestamp"]
    message["sentAt"] = sent_at
    corrected_ms = own_ms + received_ms - sent_ms
    if 0 <= corrected_ms <= received_ms:
        message["timestamp"] = iso(TimeMs(corrected_ms))


def iso(at_ms: TimeMs) -> str:
    """As in 2026-01-31T10:00:00.000Z."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _depth(body: bytes) -> int:
    deepest = depth = 0
    for bracket in _STRINGS.sub(b"", body).translate(None, _ALL_BUT_BRACKETS):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest
