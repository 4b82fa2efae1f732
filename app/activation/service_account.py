"""Google's service accounts: an access token in return for a statement that the account's key has signed.

The statement is a JSON Web Token (RFC 7519) of ten lines; what needs a library is the signature, RSA with SHA-256.

Sources: developers.google.com/identity/protocols/oauth2/service-account (read 2026-11-22); RFC 7523.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass, field

import orjson
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app.activation.reply import word
from app.activation.request import Request, form
from app.activation.settings import Secret
from app.activation.token import TokenFlow
from app.activation.wire import encode

TOKEN_URL = "https://oauth2.googleapis.com/token"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME_S = 3_600
"""Of the statement; the most that is allowed."""
BITS_MIN = 2_048


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """The key file, read."""

    email: str
    project: str
    key_id: str
    key: RSAPrivateKey = field(repr=False)

    def statement(self, scope: str, now_s: int) -> Secret:
        """Who asks for what, signed; the same at any time of the same second."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        until_s = now_s + LIFETIME_S
        claims = {"iss": self.email, "scope": scope, "aud": TOKEN_URL, "iat": now_s, "exp": until_s}
        signed = b".".join(_plain(encode(part)) for part in (head, claims))
        signature = self.key.sign(signed, PKCS1v15(), SHA256())
        return Secret((signed + b"." + _plain(signature)).decode())


def read(text: Secret) -> ServiceAccount:
    """Raises ValueError, which does not repeat any of the text."""
    try:
        file = orjson.loads(text.reveal())
    except orjson.JSONDecodeError:
        raise ValueError("expected the key file's text, which is JSON") from None
    if word(file, "type") != "service_account" or not word(file, "client_email"):
        raise ValueError("expected a service account's key file: type service_account, with client_email")
    if word(file, "token_uri") not in ("", TOKEN_URL):
        raise ValueError(f"expected no token_uri but {TOKEN_URL}")
    try:
        key = load_pem_private_key(word(file, "private_key").encode(), None)
    except (ValueError, TypeError):
        raise ValueError("its private_key cannot be read") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < BITS_MIN:
        raise ValueError(f"expected an RSA key of {BITS_MIN} bits or more")
    return ServiceAccount(word(file, "client_email"), word(file, "project_id"), word(file, "private_key_id"), key)


def check(text: Secret) -> str | None:
    """What is wrong with a key file, for a setting's rule."""
    try:
        read(text)
    except ValueError as error:
        return str(error)
    return None


def token(text: Secret, scope: str) -> TokenFlow:
    """The account's own token; each request for one is signed anew."""
    account = read(text)

    def ask(now_s: int) -> Request:
        return form(TOKEN_URL, {"grant_type": GRANT, "assertion": account.statement(scope, now_s)})

    return TokenFlow(ask)


def _plain(part: bytes) -> bytes:
    return urlsafe_b64encode(part).rstrip(b"=")
