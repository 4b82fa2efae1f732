"""Any HTTPS endpoint, signed by Standard Webhooks. Source: its specification (read 2026-08-17)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from hmac import digest
from typing import Annotated, Literal

from app.activation.checks import check_headers, check_url
from app.activation.destination import Destination, Erase, Limits, Request, Secret
from app.activation.payload import Payload
from app.activation.settings import Rule
from app.activation.wire import encode
from app.ids import derived_id

KEY_BYTES = range(24, 65)


def signing_keys(secret: Secret) -> list[bytes]:
    """The keys of a secret, several (separated by spaces) while one is being replaced by another.

    Raises ValueError: not base64, or not of 24 to 64 bytes, where `whsec_` says it must be.
    """
    return [_key(part) for part in secret.reveal().split()]


def signature(keys: Sequence[bytes], message_id: str, at_s: int, body: bytes) -> str:
    """`v1,…` for each key. Over exactly the bytes that are sent, at the time of this attempt."""
    signed = f"{message_id}.{at_s}.".encode() + body
    return " ".join("v1," + b64encode(digest(key, signed, sha256)).decode() for key in keys)


def _key(text: str) -> bytes:
    plain = text.removeprefix("whsec_")
    try:
        key = b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except NotBase64:
        key = b""
    if len(key) in KEY_BYTES:
        return key
    if plain != text:
        raise ValueError("after whsec_ comes base64 of 24 to 64 bytes")
    return text.encode()  # as the reference libraries' users expect: a password is a key too


def _check_secret(secret: Secret) -> str | None:
    try:
        return None if signing_keys(secret) else "expected at least one secret"
    except ValueError as error:
        return str(error)


@dataclass(frozen=True, slots=True)
class Settings:
    url: Annotated[Secret, Rule("Where to send. Secret: many receivers put a key in it.", check=check_url)]
    secret: Annotated[
        Secret,
        Rule("whsec_ and base64 of 24 to 64 bytes; several during rotation, between spaces.", check=_check_secret),
    ]
    method: Annotated[Literal["POST", "PUT", "PATCH"], Rule("The HTTP method.")] = "POST"
    headers: Annotated[Mapping[str, Secret] | None, Rule("More headers to send.", check=check_headers)] = None
    batch: Annotated[int, Rule("Calls per request; more than 1: a JSON array.", minimum=1, maximum=1000)] = 1


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    ids = [payload.id for payload in payloads]
    message_id = ids[0] if settings.batch == 1 else derived_id("batch", *ids)
    body = encode(payloads[0].call if settings.batch == 1 else [payload.call for payload in payloads])
    headers: dict[str, str | Secret] = {
        **(settings.headers or {}),
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": Secret(signature(signing_keys(settings.secret), message_id, now_s, body)),
    }
    return Request(settings.method, settings.url, headers, body)


DESTINATION = Destination(
    name="webhook",
    settings=Settings,
    account=("url",),
    limits=Limits(requests_per_s=100, in_flight_max=20, timeout_s=15),
    build=build,
    calls=None,
    group=lambda payload, settings: "",
    erase=Erase(),
    limits_for=lambda limits, settings: replace(limits, batch_items_max=settings.batch),
)
