"""A dead letter says everything but secrets."""

import base64

import orjson

from app.activation.destination import Request, Secret
from app.activation.outcome import Failure, Reason, Response
from app.delivery.dead_letter import ORIGINAL_BYTES_MAX, SHOWN_BYTES_MAX, Brake, Evidence, dead_letter
from tests.delivery.records import CANARY, SECRET, record

KEY = SECRET.removeprefix("whsec_")
URL = "https://h.example/hooks/very-secret-path"
REQUEST = Request("POST", Secret(URL), {"X-Api-Key": Secret(CANARY), "webhook-id": "m1"}, b'{"userId":"prf_1"}')


def letter(value: bytes | None, *, evidence: Evidence, message: str = "HTTP status 422") -> dict:
    secrets = [Secret(f"{SECRET} other-key"), Secret(CANARY), Secret(URL), Secret("x")]
    at_ms = 1_769_853_600_000
    raw = dead_letter(
        value,
        reason=Reason.REFUSED,
        message=message,
        attempts=2,
        at_ms=at_ms,
        evidence=evidence,
        secrets=secrets,
    )
    return orjson.loads(raw)


def test_it_is_the_payload_with_the_whole_story():
    value = record(7).value
    assert value is not None
    response = Response(422, {"x-reason": "no"}, b"bad user")
    found = letter(value, evidence=Evidence(REQUEST, response))
    error = found.pop("error")
    assert found == orjson.loads(value)
    assert error == {
        "reason": "refused",
        "message": "HTTP status 422",
        "status": 422,
        "request": {
            "method": "POST",
            "url": "https://h.example",
            "headers": {"webhook-id": "m1"},
            "body": '{"userId":"prf_1"}',
        },
        "response": {"status": 422, "headers": {"x-reason": "no"}, "body": "bad user"},
        "attempts": 2,
        "at": "2026-01-31T10:00:00.000Z",
    }


def test_secrets_that_a_vendor_echoes_are_struck_out():
    echo = f"you sent {CANARY} to /hooks/very-secret-path, {URL}, signed with {KEY} or {SECRET} or other-key"
    response = Response(400, {"x-echo": CANARY}, echo.encode())
    text = orjson.dumps(letter(record(1).value, evidence=Evidence(REQUEST, response), message=echo)).decode()
    for secret in (CANARY, KEY, "very-secret", "other-key"):
        assert secret not in text
    assert "you sent [secret] to" in text


def test_a_secret_cut_in_two_by_the_limit_does_not_show():
    body = b"a" * (SHOWN_BYTES_MAX - 5) + CANARY.encode()
    found = letter(record(1).value, evidence=Evidence(REQUEST, Response(400, {}, body)))
    assert CANARY[:5] not in found["error"]["response"]["body"]
    assert len(found["error"]["response"]["body"]) <= SHOWN_BYTES_MAX


def test_without_an_answer_there_is_no_status():
    found = letter(record(1).value, evidence=Evidence(REQUEST, Failure(Reason.TIMEOUT, "")))["error"]
    assert (found["status"], found["response"]) == (None, None)
    assert found["request"]["url"] == "https://h.example"


def test_a_record_that_is_no_object_is_kept_as_base64():
    for value in (b"\xff{", b"[1]", b""):
        found = letter(value, evidence=Evidence())
        assert base64.b64decode(found["original"]) == value
        assert found["error"]["request"] is None
    assert letter(None, evidence=Evidence())["original"] is None
    found = letter(b"\xff" * (ORIGINAL_BYTES_MAX + 9), evidence=Evidence())
    assert base64.b64decode(found["original"]) == b"\xff" * ORIGINAL_BYTES_MAX


def test_the_brake_trips_above_half_of_the_last_hundred():
    brake = Brake(window=100, share_max=0.5)
    assert not any(brake.settled(dead=True) for _ in range(50))
    assert not any(brake.settled(dead=False) for _ in range(50))
    assert not brake.settled(dead=True)  # pushes a dead one out
    assert not any(brake.settled(dead=False) for _ in range(49))
    brake = Brake(window=100, share_max=0.5)
    tripped = [brake.settled(dead=True) for _ in range(100)]
    assert tripped == [False] * 99 + [True]
    brake.release()
    assert not brake.settled(dead=True)
