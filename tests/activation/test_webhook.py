"""Signatures by the specification's vectors, and settings that cannot be sent with."""

import base64
import time

import pytest
from standardwebhooks import Webhook

from app.activation.destination import Attempt, Secret
from app.activation.destinations.webhook import DESTINATION, signature, signing_keys
from app.activation.payload import parse_payload
from app.activation.router import Router
from app.errors import SettingsError
from app.topics import Topics
from tests.activation.changes import catalog, change, subscription

OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
VECTORS = [
    (
        OLD,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        NEW,
        "01JZ8W5G4T",
        1767225600,
        b'{"type":"identify","userId":"u1"}',
        "v1,vG8pjUx9kZ+aCrYJ4LcKm+Xoj5YupQn3pbZo66XraT4=",
    ),
]


@pytest.mark.parametrize(("secret", "id_", "at_s", "body", "expected"), VECTORS)
def test_the_published_vectors(secret, id_, at_s, body, expected):
    assert signature(signing_keys(Secret(secret)), id_, at_s, body) == expected


def test_rotation_signs_with_both_and_either_verifies():
    payload = parse_payload(Router(catalog(subscription()), Topics()).route(change())[0].value)
    configured = DESTINATION.configure({"url": "https://h.example/", "secret": f"{OLD} {NEW}"})
    request = next(configured.converse([payload], Attempt(int(time.time()))))
    headers = {k: v.reveal() if isinstance(v, Secret) else v for k, v in request.headers.items()}
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(request.body, headers) == payload.call


def test_keys_with_and_without_prefix_and_plain_text():
    key = bytes(range(32))
    text = base64.b64encode(key).decode()
    assert signing_keys(Secret(f"whsec_{text} {text} {text.rstrip('=')} hush")) == [key, key, key, b"hush"]


@pytest.mark.parametrize("secret", ["whsec_c2hvcnQ=", "whsec_" + base64.b64encode(bytes(65)).decode(), "whsec_?", " "])
def test_a_secret_that_is_no_key_is_refused_without_being_told(secret):
    with pytest.raises(SettingsError) as error:
        DESTINATION.configure({"url": "https://h.example/", "secret": secret})
    (fault,) = error.value.faults
    assert fault.path == "secret"
    assert secret.strip() == "" or secret not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "h.example",
        "ftp://h.example/",
        "https://",
        "https://u:pw@h.example/",
        "https://h.example:99999/",
        "https://[::1/",
    ],
)
def test_a_url_that_cannot_be_one_is_refused(url):
    with pytest.raises(SettingsError) as error:
        DESTINATION.configure({"url": url, "secret": OLD})
    assert [fault.path for fault in error.value.faults] == ["url"]


@pytest.mark.parametrize(
    "headers",
    [{"webhook-id": "x"}, {"Content-Type": "x"}, {"Host": "x"}, {"a b": "x"}, {"X": "a\r\nY: b"}, {"": "x"}],
)
def test_headers_that_would_break_the_request_are_refused(headers):
    with pytest.raises(SettingsError):
        DESTINATION.configure({"url": "https://h.example/", "secret": OLD, "headers": headers})
