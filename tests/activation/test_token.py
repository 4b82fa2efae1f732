"""Access tokens as vendors give and refuse them."""

import pytest

from app.activation.outcome import Pause, Reason, Response, Retry
from app.activation.settings import Secret
from app.activation.token import Token, TokenFlow, client_credentials, refresh_token

FLOW = client_credentials("https://login.example/token", "app", Secret("canary & more"), scope="read write")


def test_the_request_is_a_form_and_shows_no_secret():
    assert (
        FLOW.ask(0).body
        == b"grant_type=client_credentials&client_id=app&client_secret=canary+%26+more&scope=read+write"
    )
    assert "canary" not in repr(FLOW) + str(FLOW.ask(0).shown())
    asked = refresh_token(Secret("https://login.example/canary"), "app", Secret("s"), Secret("r")).ask(0)
    assert asked.body == b"grant_type=refresh_token&client_id=app&client_secret=s&refresh_token=r"
    assert "canary" not in repr(asked) + str(asked.shown())


@pytest.mark.parametrize(
    ("expires_in", "lifetime_s"),
    [(b"3600", 3540), (b"100", 90), (b"0", 1), (b"-5", 1), (b'"soon"', 3540), (b"null", 3540)],
)
def test_a_token_is_renewed_before_its_end(expires_in, lifetime_s):
    token = FLOW.read(Response(200, {}, b'{"access_token": "t", "expires_in": ' + expires_in + b"}"), 0)
    assert token == Token(Secret("Bearer t"), lifetime_s)


def test_vendors_that_show_it_otherwise():
    flow = TokenFlow(FLOW.ask, field="authToken", prefix="", lifetime_s=7200)
    assert flow.read(Response(200, {}, b'{"authToken": "t"}'), 0) == Token(Secret("t"), 7140)


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        (Response(400, {}, b'{"error": "invalid_grant"}'), Pause(Reason.UNAUTHORIZED)),
        (Response(401), Pause(Reason.UNAUTHORIZED)),
        (Response(404), Pause(Reason.UNAUTHORIZED)),
        (Response(400, {}, b'"token request is already being processed"'), Retry(Reason.THROTTLED, 5.0)),
        (Response(429, {"retry-after": "3"}), Retry(Reason.THROTTLED, 3.0)),
        (Response(502), Retry(Reason.SERVER_ERROR)),
        (Response(200, {}, b"{}"), Retry(Reason.UNREADABLE)),
        (Response(200, {}, b'{"access_token": true}'), Retry(Reason.UNREADABLE)),
        (Response(200, {}, b'{"access_token": "t"'), Retry(Reason.UNREADABLE)),
    ],
)
def test_what_its_absence_means(response, outcome):
    assert FLOW.read(response, 0) == outcome
