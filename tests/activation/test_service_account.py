"""Service accounts: what is signed, and which key files are taken."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.activation.destination import Attempt
from app.activation.destinations import DESTINATIONS
from app.activation.lists.vendor import ListName
from app.activation.service_account import TOKEN_URL, check, token
from app.activation.settings import Secret
from app.errors import SettingsError

SCOPE = "https://www.googleapis.com/auth/datamanager"


@cache
def key(bits: int = 2_048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, bits)


def pem(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def file(**more: Any) -> Secret:
    whole = {
        "type": "service_account", "project_id": "shop", "private_key_id": "k1", "private_key": pem(key()),
        "client_email": "canary@shop.iam.gserviceaccount.com", "token_uri": TOKEN_URL,
    } | more  # fmt: skip
    return Secret(orjson.dumps(whole).decode())


def parts(statement: str) -> tuple[bytes, dict[str, Any], dict[str, Any], bytes]:
    """What is signed, its head, its claims, the signature."""
    head, claims, signature = (urlsafe_b64decode(part + "==") for part in statement.split("."))
    return statement.rpartition(".")[0].encode(), orjson.loads(head), orjson.loads(claims), signature


def test_a_token_is_asked_for_with_a_statement_that_the_key_has_signed() -> None:
    request = token(file(), SCOPE).ask(1_769_853_600)
    assert (request.method, request.url) == ("POST", TOKEN_URL)
    asked = parse_qs(request.body.decode(), strict_parsing=True)
    assert asked["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    signed, head, claims, signature = parts(asked["assertion"][0])
    key().public_key().verify(signature, signed, PKCS1v15(), SHA256())
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert claims == {
        "iss": "canary@shop.iam.gserviceaccount.com", "scope": SCOPE, "aud": TOKEN_URL,
        "iat": 1_769_853_600, "exp": 1_769_857_200,
    }  # fmt: skip
    assert "=" not in asked["assertion"][0]


def test_each_time_it_is_signed_anew_and_in_one_second_the_same() -> None:
    flow = token(file(), SCOPE)
    assert flow.ask(10) == flow.ask(10)
    assert flow.ask(10).body != flow.ask(11).body
    assert "canary" not in repr(flow) + repr(flow.ask(10)) + str(flow.ask(10).shown())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Secret("{canary"), "JSON"),
        (Secret("[]"), "service_account"),
        (file(type="authorized_user"), "service_account"),
        (file(client_email=""), "client_email"),
        (file(token_uri="https://canary.example/token"), "token_uri"),
        (file(private_key="canary"), "private_key"),
        (file(private_key=pem(key(1_024))), "2048 bits"),
        (file(private_key=pem(ec.generate_private_key(ec.SECP256R1()))), "RSA"),
    ],
)  # fmt: skip
def test_what_is_no_good_key_file_is_refused_without_repeating_it(bad: Secret, message: str) -> None:
    told = check(bad)
    assert told is not None
    assert message in told
    assert "canary" not in told
    assert check(file()) is None


@pytest.mark.parametrize(
    ("name", "whose"), [("google_customer_match", "customer_id"), ("dv360", "advertiser_id")]
)  # fmt: skip
def test_a_list_destination_takes_a_service_account_instead_of_a_client(name: str, whose: str) -> None:
    client = {"client_id": "app", "client_secret": "canary-1", "refresh_token": "canary-2"}
    alone = {whose: "1", "service_account_key": file().reveal()}
    configured = DESTINATIONS[name].configure(alone | {"base_url": "http://127.0.0.1:9/there"})
    assert configured.token is not None
    assert configured.token.ask(1).url == "http://127.0.0.1:9/there/token"
    assert configured.lists is not None
    assert configured.lists.make is not None
    assert next(configured.lists.make(ListName("vip", "VIP"), (), Attempt(0))).method == "POST"
    elsewhere = file(client_email="canary-2@shop.example").reveal()
    assert DESTINATIONS[name].configure(alone).account == (
        DESTINATIONS[name].configure(alone | {"service_account_key": elsewhere}).account
    ), "one project's limits"
    for settings in ({}, {"client_id": "app"}, client | {"service_account_key": file().reveal()}):
        with pytest.raises(SettingsError):
            DESTINATIONS[name].configure({whose: "1"} | settings)
