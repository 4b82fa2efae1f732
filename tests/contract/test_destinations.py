"""What is asked of every destination: its fixture, and what no fixture has to repeat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.activation.destination import Configured, Request, Secret
from app.activation.destinations import DESTINATIONS
from app.activation.outcome import Delivered, Disabled, Outcome, Partial, Pause, Rejected, Response, Retry, by_status
from app.activation.payload import Payload, parse_payload

FIXTURES = Path(__file__).parent / "destinations"
OUTCOMES: dict[str, type[object]] = {
    "delivered": Delivered,
    "retry": Retry,
    "rejected": Rejected,
    "pause": Pause,
    "disabled": Disabled,
    "partial": Partial,
}
STATUSES: dict[str, set[int]] = {
    "delivered": {200, 201, 202, 204, 207},
    "retry": {408, 423, 425, 429, 500, 502, 503, 504, 507, 511, 599},
    "pause": {401, 403},
    "disabled": {410},
    "rejected": {300, 301, 302, 304, 307, 308, 400, 402, 404, 405, 409, 413, 415, 422, 451, 501, 505},
}


def fixture(name: str) -> dict[str, Any]:
    loaded = orjson.loads((FIXTURES / f"{name}.json").read_bytes())
    assert isinstance(loaded, dict)
    return loaded


def payload(short: dict[str, Any]) -> Payload:
    """From a fixture's short form: `id` and either `call`, or `kind` (entered, exited) and `ids` of an identify."""
    ids = short.get("ids", {})
    call = short.get("call")
    if call is None:
        traits = {"vip": short["kind"] == "entered"} | ({"email": ids["email"]} if "email" in ids else {})
        call = {"type": "identify"} | ({"userId": ids["user_id"]} if "user_id" in ids else {}) | {"traits": traits}
    record = {
        "id": short["id"],
        "destination": "d",
        "profile": "prf_" + short["id"],
        "sequence": 1,
        "at": "2026-01-31T10:00:00.000Z",
        "origin": "live",
        "computation": {"class": "audience", "id": "aud_1", "key": "vip"},
        "payload": call,
    }
    return parse_payload(orjson.dumps(record))


def cases() -> Iterator[Any]:
    for name in DESTINATIONS:
        for case in fixture(name)["requests"]:
            yield pytest.param(name, case, id=f"{name}: {case['name']}")


def configured(name: str, case: dict[str, Any] | None = None) -> Configured:
    return DESTINATIONS[name].configure(fixture(name)["settings"] | (case or {}).get("settings", {}))


def built(name: str, case: dict[str, Any]) -> Request:
    build = configured(name, case).build
    assert build is not None
    return build([payload(short) for short in case["payloads"]], fixture(name).get("now_s", 0))


def revealed(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def test_each_destination_has_a_fixture_and_each_fixture_a_destination():
    assert {path.stem for path in FIXTURES.glob("*.json")} == set(DESTINATIONS)
    for name, destination in DESTINATIONS.items():
        assert destination.name == name
        assert bool(fixture(name)["requests"]) == (destination.build is not None)


@pytest.mark.parametrize(("name", "case"), cases())
def test_the_request_is_as_documented(name, case):
    request = built(name, case)
    assert request.method == case.get("method", "POST")
    assert revealed(request.url) == case["url"]
    headers = {key: revealed(value) for key, value in request.headers.items()}
    for key, value in case.get("headers", {}).items():
        assert headers[key] == value, key
    assert orjson.loads(request.body) == case["body"]


@pytest.mark.parametrize(("name", "case"), cases())
def test_the_same_input_gives_the_same_bytes_within_limits(name, case):
    request = built(name, case)
    assert request == built(name, case)
    assert isinstance(request.body, bytes)
    limits = configured(name, case).limits
    assert len(request.body) <= limits.body_bytes_max
    assert len(case["payloads"]) <= limits.batch_items_max


@pytest.mark.parametrize(("name", "case"), cases())
def test_no_secret_is_in_body_payload_or_repr(name, case):
    request = built(name, case)
    configured_ = configured(name, case)
    shown = repr(request) + str(request.shown()) + repr(configured_) + request.body.decode()
    shown += "".join(repr(payload(short)) for short in case["payloads"])
    secrets = [secret.reveal() for secret in configured_.secrets]
    assert secrets, "a sender without any secret?"
    for secret in secrets:
        assert secret not in shown


def replies() -> Iterator[Any]:
    for name in DESTINATIONS:
        for reply in fixture(name)["replies"]:
            yield pytest.param(name, reply, id=f"{name}: {reply['status']} {reply['outcome']}")


@pytest.mark.parametrize(("name", "reply"), replies())
def test_the_reply_is_judged_as_documented(name, reply):
    headers = {key.lower(): value for key, value in reply.get("headers", {}).items()}
    body = orjson.dumps(reply["body"]) if "body" in reply else b""
    outcome = configured(name).judge(Response(reply["status"], headers, body), 1_700_000_000)
    assert isinstance(outcome, OUTCOMES[reply["outcome"]])
    if "after_s" in reply:
        assert outcome == Retry(outcome.reason, reply["after_s"])


def by_table() -> Iterator[Any]:
    for expected, statuses in STATUSES.items():
        for status in sorted(statuses):
            yield pytest.param(status, expected, id=f"{status} {expected}")


@pytest.mark.parametrize(("status", "expected"), by_table())
def test_every_status_class_ends_in_the_outcome_of_the_table(status, expected):
    def check(outcome: Outcome) -> None:
        assert isinstance(outcome, OUTCOMES[expected])

    check(by_status(Response(status), 0))
    for destination in DESTINATIONS.values():
        if destination.classify is by_status:
            check(destination.classify(Response(status), 0))
