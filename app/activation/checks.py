"""What settings may not be, where their type cannot say it. None of it repeats a secret's value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from app.activation.settings import Secret

LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
OURS = ("content-", "webhook-", "host", "transfer-encoding", "connection", "user-agent")


def check_label(text: str) -> str | None:
    """A part of a host's name: nothing that would make another host of it."""
    return None if LABEL.fullmatch(text) else "expected letters, digits and hyphens only"


def check_url(url: Secret) -> str | None:
    """Whole, and without credentials."""
    try:
        parts = urlsplit(url.reveal())
        sound = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "not a URL"
    if not sound:
        return "expected https://host/path (http only into delivery.allow_networks)"
    return "a URL with a user name or password in it is refused" if "@" in parts.netloc else None


def check_headers(headers: Mapping[str, Secret]) -> str | None:
    """Headers that a request can have, and that are not ours to set."""
    for name, value in headers.items():
        if not HEADER.fullmatch(name) or name.lower().startswith(OURS):
            return f"{name!r} is not a header that can be set here"
        if not value.reveal().isprintable():
            return f"the value of {name!r} has a line break or another character that no header may have"
    return None


def check_digits(text: str) -> str | None:
    """A number's digits, and nothing that would make another path of an address."""
    return None if text.isascii() and text.isdigit() else "expected digits only"
