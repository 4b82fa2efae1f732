"""The receiver believes what is signed, takes each message once, in order, and its refusals come to an end."""

from datetime import UTC, datetime

import aiohttp
import orjson
from standardwebhooks.webhooks import Webhook

from app.cli.demo.receiver import Receiver, Value

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSBkZW1v"


def _body(value: object, *, user: str | None = "user-1", call: str = "identify", key: str = "vip") -> bytes:
    held = {"traits": {key: value}} if call == "identify" else {"properties": {"audience_key": key, key: value}}
    ids = {"userId": user} if user else {"anonymousId": "anon-1"}
    personas = {"computation_class": "audience", "computation_key": key, "space_id": "spa_demo"}
    return orjson.dumps({"type": call, **ids, **held, "context": {"personas": personas}})


def _headers(webhook_id: str, body: bytes, *, secret: str = SECRET) -> dict[str, str]:
    now = datetime.now(UTC)
    signature = Webhook(secret).sign(webhook_id, now, body.decode())
    return {
        "Webhook-Id": webhook_id,
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": signature,
    }


def _patient_receiver(seed: int = 1) -> tuple[Receiver, list[Value]]:
    values: list[Value] = []
    return Receiver(SECRET, seed=seed, on_value=values.append), values


def _send(receiver: Receiver, webhook_id: str, body: bytes) -> list[int]:
    """As a sender that tries until it is answered 200; gives every status on the way."""
    statuses = []
    while not statuses or statuses[-1] not in (200, 400):
        statuses.append(receiver.answer(body, _headers(webhook_id, body)).status)
        assert len(statuses) < 5
    return statuses


def test_a_message_is_taken_once_and_in_order() -> None:
    receiver, values = _patient_receiver()
    for number, value in enumerate((True, False, True)):
        _send(receiver, f"m{number}", _body(value))
    _send(receiver, "m1", _body(False))
    assert receiver.received.values["user_id:user-1", "vip", "identify"] == [True, False, True]
    assert receiver.received.repeats_count == 1
    assert [(value.value, value.position) for value in values] == [(True, 0), (False, 1), (True, 2)]


def test_calls_and_people_are_kept_apart() -> None:
    receiver, _ = _patient_receiver()
    _send(receiver, "m1", _body(True, call="track"))
    _send(receiver, "m2", _body(7, user=None, key="searches_total"))
    assert dict(receiver.received.values) == {
        ("user_id:user-1", "vip", "track"): [True],
        ("anonymous_id:anon-1", "searches_total", "identify"): [7],
    }


def test_a_wrong_signature_is_refused_and_counted() -> None:
    receiver, values = _patient_receiver()
    body = _body(True)
    other = _headers("m1", body, secret="whsec_" + "b3RoZXI=")
    changed = _headers("m1", _body(False))
    broken = {**_headers("m1", body), "Webhook-Signature": "v1,not base64!"}
    unsigned = {"Webhook-Id": "m1"}
    for headers in (other, changed, broken, unsigned):
        assert receiver.answer(body, headers).status == 401
    assert receiver.received.forged_count == 4
    assert not values


def test_a_signed_body_that_is_no_call_is_refused_and_counted() -> None:
    receiver, values = _patient_receiver()
    for number, body in enumerate((b"{}", b"[]", b"cut {", b'{"type": "page", "context": {"personas": {}}}')):
        assert _send(receiver, f"m{number}", body)[-1] == 400
    assert receiver.received.unreadable_count == 4
    assert not values


def test_some_first_tries_are_turned_away_and_their_second_is_taken() -> None:
    receiver, values = _patient_receiver(seed=3)
    statuses = [_send(receiver, f"m{number}", _body(number, key="searches_total")) for number in range(1_000)]
    turned_away = [each for each in statuses if len(each) > 1]
    assert any(len(each) > 1 for each in statuses[:50])
    assert 8 <= len(turned_away) <= 25
    assert {tuple(each) for each in turned_away} == {(503, 200), (500, 200)}
    assert receiver.received.turned_away_count == len(turned_away)
    assert len(values) == 1_000


def test_a_refusal_holds_up_its_own_message_only() -> None:
    receiver, _ = _patient_receiver(seed=3)
    body = _body(True)
    answers = [receiver.answer(body, _headers(f"m{number}", body)) for number in range(1_000)]
    assert {answer.status for answer in answers} == {200, 500, 503}
    assert not any("Retry-After" in answer.headers for answer in answers), "it would stop the whole destination"


async def test_it_listens_on_loopback() -> None:
    receiver, values = _patient_receiver()
    await receiver.start()
    try:
        body = _body(True)
        async with aiohttp.ClientSession() as session:
            for _ in range(2):  # the first try may be turned away
                async with session.post(receiver.url, data=body, headers=_headers("m1", body)) as answer:
                    assert answer.status in (200, 500, 503)
    finally:
        await receiver.stop()
    assert receiver.url.startswith("http://127.0.0.1:")
    assert [value.value for value in values] == [True]
