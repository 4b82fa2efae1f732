"""Texts with names in braces, filled from a payload. A name is only a name: nothing in it can reach further."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from urllib.parse import quote

from app.activation.fields import as_text
from app.activation.payload import InvalidPayload, Payload

NAMES = (
    "user_id", "anonymous_id", "email", "group_id", "profile", "message_id", "key", "value", "event", "at", "kind",
)  # fmt: skip


def values(payload: Payload) -> dict[str, object]:
    """What the names stand for; an identifier that the payload does not carry is missing."""
    about: dict[str, object] = {
        "profile": payload.profile,
        "message_id": payload.id,
        "key": payload.computation.key,
        "value": payload.value,
        "event": payload.event,
        "at": payload.at,
        "kind": payload.kind,
    }
    return about | payload.ids


def check_template(text: str) -> str | None:
    """What is wrong with it."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        return "a brace is open; write {{ for one that is meant"
    sound = all(name is None or (name in NAMES and not spec and not how) for _, name, spec, how in parts)
    return None if sound else f"the names that can stand in braces are {', '.join(NAMES)}"


def named(text: str) -> set[str]:
    """The names in a sound template."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def filled(text: str, known: Mapping[str, object]) -> str:
    """Raises KeyError: a name whose value is missing."""
    return "".join(
        literal + ("" if name is None else as_text(known[name])) for literal, name, _, _ in Formatter().parse(text)
    )


def filled_value(text: str, known: Mapping[str, object]) -> object:
    """The value itself where the template is nothing but its name, so that `true` stays one."""
    (literal, name, _, _), *rest = [*Formatter().parse(text)] or [("", None, None, None)]
    return known[name] if name is not None and not literal and not rest else filled(text, known)


def filled_url(text: str, known: Mapping[str, object]) -> str:
    """Every value percent-encoded, slashes too: none can become another part of the URL.

    Raises InvalidPayload: a value of dots, which would lead elsewhere however it is written.
    """
    url = filled(text, {name: quote(as_text(value), safe="") for name, value in known.items()})
    if {".", ".."} & {*url.partition("?")[0].split("/")}:
        raise InvalidPayload("a part of the URL's path would be nothing but dots")
    return url
