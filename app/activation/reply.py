"""Reading what a vendor answered: JSON whose shape nobody promises."""

from __future__ import annotations

import orjson

from app.activation.outcome import Response
from app.activation.payload import JsonObject


class UnreadableReply(ValueError):
    """A reply that has to be read and cannot be: cut short, a proxy's page, another shape than documented."""


def json_of(response: Response) -> object:
    """Raises UnreadableReply."""
    if not response.complete:
        raise UnreadableReply("the reply was cut short")
    try:
        return orjson.loads(response.body)
    except orjson.JSONDecodeError:
        raise UnreadableReply("the reply is no JSON") from None


def json_or_none(response: Response) -> object:
    """For where the body may add to what the status has said, and need not."""
    try:
        return json_of(response)
    except UnreadableReply:
        return None


def dig(value: object, *path: str | int) -> object:
    """What lies at the path; None where there is nothing, or something of another shape."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def objects(value: object, *path: str | int) -> list[JsonObject]:
    """The list at the path, an empty object for what is none in it; an empty list where there is no list."""
    found = dig(value, *path)
    return [item if isinstance(item, dict) else {} for item in found] if isinstance(found, list) else []


def texts(value: object, *path: str | int) -> list[str]:
    """The texts of the list at the path."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def word(value: object, *path: str | int) -> str:
    """The text at the path, a number as its text; empty where there is neither."""
    found = dig(value, *path)
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
