"""A destination's fixture file, read: settings, payloads, the exchanges they must become and what comes of them.

settings    what the destination is configured with; every secret has `canary` in it
now_s       Unix seconds of the attempt
exchanges   name, payloads, settings (more of them), steps, outcome, items, waits_s, reason, after_s
            a step: method (POST), url, headers, body or form or text, after_s, and the vendor's reply
replies     to the first request of the exchange `of` (the first one): status, headers, body or text, and the outcome
token       url, method, form or body of the request for a token; its reply; the header's value
unusual     status → outcome, where this vendor differs from the table
secret_in_body, dedupes
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson

from app.activation.destination import Attempt, Configured, Request, Secret
from app.activation.destinations import DESTINATIONS
from app.activation.outcome import (
    Delivered,
    Disabled,
    Outcome,
    Partial,
    Pause,
    Rejected,
    Response,
    Retry,
    unreadable,
)  # fmt: skip
from app.activation.payload import Payload, parse_payload
from app.delivery.exchange import UNEXPECTED

FILES = Path(__file__).parent / "destinations"
OUTCOMES: dict[str, type[object]] = {
    "delivered": Delivered,
    "retry": Retry,
    "rejected": Rejected,
    "pause": Pause,
    "disabled": Disabled,
    "partial": Partial,
}


@cache
def fixture(name: str) -> dict[str, Any]:
    loaded = orjson.loads((FILES / f"{name}.json").read_bytes())
    assert isinstance(loaded, dict)
    return loaded


def exchanges(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = fixture(name).get("exchanges", [])
    return found


def configured(name: str, case: dict[str, Any] | None = None) -> Configured:
    return _configured(name, orjson.dumps(fixture(name)["settings"] | (case or {}).get("settings", {})))


@cache
def _configured(name: str, settings: bytes) -> Configured:
    return DESTINATIONS[name].configure(orjson.loads(settings))


def payload(short: dict[str, Any]) -> Payload:
    """From a short form: `id`, perhaps `key` (vip) and `class`; and either `call`, or `kind` (entered, exited,
    computed, erased), `ids`, and perhaps `track`, `value`, `name` (what the mapping made of the key) and `traits`."""
    return parse_payload(orjson.dumps(record(short)))


def record(short: dict[str, Any]) -> dict[str, Any]:
    class_ = short.get("class") or {"computed": "trait", "erased": "erasure"}.get(short.get("kind", ""), "audience")
    key = short.get("key", "vip")
    return {
        "id": short["id"],
        "destination": "d",
        "profile": short.get("profile", "prf_" + short["id"]),
        "sequence": 1,
        "at": "2026-01-31T10:00:00.000Z",
        "origin": "live",
        "computation": {"class": class_, "id": f"{class_[:3]}_1", "key": key},
        "payload": short["call"] if "call" in short else _call(short, class_, key),
    }


def _call(short: dict[str, Any], class_: str, key: str) -> dict[str, Any]:
    ids = short.get("ids", {})
    if class_ == "erasure":
        names = {"user_id": "userId", "anonymous_id": "anonymousId"}
        call = {names[kind]: id_ for kind, id_ in ids.items() if kind in names}
        return {"type": "delete"} | call | {"traits": {kind: id_ for kind, id_ in ids.items() if kind == "email"}}
    value = short["value"] if class_ == "trait" else short["kind"] == "entered"
    told = {short.get("name", key): value}
    about = short.get("traits", {}) | ({"email": ids["email"]} if "email" in ids else {})
    names = {"user_id": "userId", "anonymous_id": "anonymousId"}
    call = {names[kind]: id_ for kind, id_ in ids.items() if kind in names}
    if not short.get("track"):
        return {"type": "identify"} | call | {"traits": told | about}
    event = {"entered": "Audience Entered", "exited": "Audience Exited", "computed": "Trait Computed"}[short["kind"]]
    properties = {f"{class_}_key": key} | told
    return {"type": "track"} | call | {"event": event, "properties": properties, "context": {"traits": about}}


def response(reply: dict[str, Any]) -> Response:
    headers = {key.lower(): value for key, value in reply.get("headers", {}).items()}
    body = orjson.dumps(reply["body"]) if "body" in reply else reply.get("text", "").encode()
    return Response(reply["status"], headers, body)


@dataclass(frozen=True)
class Talk:
    """What an exchange came to."""

    requests: tuple[Request, ...]
    outcome: Outcome | None
    """None: it asks for more replies."""


def talk(
    configured_: Configured,
    payloads: list[Payload],
    replies: list[Response],
    *,
    now_s: int,
    attempt: Attempt | None = None,
) -> Talk:
    """Hold the conversation as delivery does, with these replies."""
    conversation = configured_.converse(payloads, attempt or Attempt(now_s))
    requests: list[Request] = []
    try:
        requests.append(next(conversation))
        for reply in replies:
            requests.append(conversation.send(reply))
    except StopIteration as end:
        return Talk(tuple(requests), end.value)
    except UNEXPECTED:
        assert requests, "no request was made of a sound payload"
        return Talk(tuple(requests), unreadable())
    return Talk(tuple(requests), None)


def held(name: str, case: dict[str, Any], *, later_s: int = 0) -> Talk:
    """One of the fixture's exchanges."""
    now_s = fixture(name).get("now_s", 1_769_853_600) + later_s
    payloads = [payload(short) for short in case["payloads"]]
    replies = [response(step["reply"]) for step in case["steps"] if "reply" in step]
    return talk(configured(name, case), payloads, replies, now_s=now_s)


def revealed(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def body_of(request: Request, step: dict[str, Any]) -> Any:
    """In the form in which the step gives it."""
    if "form" in step:
        return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))
    return request.body.decode() if "text" in step else orjson.loads(request.body)


def expected_body(step: dict[str, Any]) -> Any:
    return next((step[form] for form in ("body", "form", "text") if form in step), None)
