"""Who is calling: write keys ingest and do nothing else, tokens have a role. Compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, TypeVar

from aiohttp import hdrs, web

from app.settings import Secret, Source, Token

Owner = TypeVar("Owner")


class Keyring(Generic[Owner]):
    """Secrets and whom they stand for. Holds digests only, so that no memory of it tells a secret."""

    def __init__(self, entries: Iterable[tuple[Secret, Owner]]) -> None:
        self._owners = {_digest(secret.reveal()): owner for secret, owner in entries}

    def owner(self, presented: str) -> Owner | None:
        """Whom a presented text stands for; the time it takes tells nothing about how near it was."""
        digest = _digest(presented)
        found: Owner | None = None
        for known, owner in self._owners.items():
            if hmac.compare_digest(known, digest):
                found = owner
        return found


@dataclass(frozen=True, slots=True)
class Credentials:
    """Everyone who may call."""

    write_keys: Keyring[Source]
    tokens: Keyring[Token]

    @classmethod
    def of(cls, sources: Iterable[Source], tokens: Iterable[Token]) -> Credentials:
        return cls(
            Keyring((source.write_key, source) for source in sources), Keyring((token.token, token) for token in tokens)
        )


def presented(request: web.Request) -> str | None:
    """The secret in the Authorization header: Basic, where it is the user name, or Bearer."""
    scheme, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip() or None
        case "basic":
            try:
                user, _, _ = base64.b64decode(value.strip(), validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
            return user or None
        case _:
            return None


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
