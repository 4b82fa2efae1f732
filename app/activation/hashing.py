"""Identifiers as vendors match them: normalised, then hashed.

A value that is 64 hexadecimal digits already is taken for a hash and only lower-cased: hashing twice matches nobody.
What is empty after normalising is left out, so every function gives None for it. Nothing is ever salted.

Sources: developers.facebook.com custom-audiences (2026-04-28), developers.google.com Data Manager API,
tiktok, snapchat and pinterest as their open-source connectors do it (all read 2026-08).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import md5, sha256
from typing import Literal

from app.activation.payload import Payload

Network = Literal["default", "facebook", "google", "snapchat", "tiktok", "pinterest"]

HASHED = re.compile(r"[0-9A-Fa-f]{64}")
GOOGLE_MAIL = ("gmail.com", "googlemail.com")
PHONE_DIGITS = range(7, 16)
"""E.164 has at most 15; fewer than seven are no number with its country code."""


def email(text: str, network: Network = "default") -> str | None:
    """Trimmed and lower-cased; for Google without spaces inside, and without dots before the @ of its own domains."""
    found = text.strip().lower()
    if network == "google":
        found = re.sub(r"\s", "", found)
        name, _, domain = found.rpartition("@")
        if domain in GOOGLE_MAIL:
            found = f"{name.replace('.', '')}@{domain}"
    name, at, domain = found.rpartition("@")
    return found if name and at and domain else None


def email_of(payload: Payload) -> str | None:
    """The address that a payload carries; None where it carries none, or something that is none."""
    return email(payload.ids.get("email", ""))


def phone(text: str, network: Network = "default") -> str | None:
    """`+15551234567`; only the digits for Facebook and Snapchat. The country code has to be there already."""
    digits = re.sub(r"\D", "", text)
    digits = digits.lstrip("0") if network in ("facebook", "snapchat") else digits.removeprefix("00")
    if len(digits) not in PHONE_DIGITS:
        return None
    return digits if network in ("facebook", "snapchat") else f"+{digits}"


def name(text: str) -> str | None:
    """Trimmed, lower-cased, without punctuation; letters of any script stay."""
    return re.sub(r"[^\w\s]|_", "", text.strip().lower()).strip() or None


def mobile_id(text: str) -> str | None:
    """Lower-cased, hyphens kept."""
    return text.strip().lower() or None


def hashed(value: str | None) -> str | None:
    """SHA-256 in lower-case hex, of the value as it is."""
    if value is None:
        return None
    return value.lower() if HASHED.fullmatch(value) else sha256(value.encode()).hexdigest()


def hashed_base64(value: str | None) -> str | None:
    """The same hash, its bytes in base64."""
    digest = hashed(value)
    return b64encode(bytes.fromhex(digest)).decode() if digest is not None else None


def hashed_email(text: str, network: Network = "default") -> str | None:
    """A value that is a hash already goes as it is."""
    return _hashed(text, lambda plain: email(plain, network))


def hashed_phone(text: str, network: Network = "default") -> str | None:
    """A value that is a hash already goes as it is."""
    return _hashed(text, lambda plain: phone(plain, network))


def hashed_name(text: str) -> str | None:
    """A value that is a hash already goes as it is."""
    return _hashed(text, name)


def member_md5(address: str) -> str:
    """How Mailchimp names a member: MD5 of the lower-cased address. No protection, only a key."""
    return md5(address.strip().lower().encode(), usedforsecurity=False).hexdigest()


def _hashed(text: str, normalise: Callable[[str], str | None]) -> str | None:
    plain = text.strip()
    return hashed(plain if HASHED.fullmatch(plain) else normalise(plain))
