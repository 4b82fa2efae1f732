"""The words of an event. A message stays the dict that its JSON was: it is on the per-event path.

A message has Segment's fields: `type`, `messageId`, `userId`, `anonymousId`, `groupId`, `previousId`, `event`, `name`,
`category`, `properties`, `traits`, `context`, `timestamp`, `sourceId`; `decode` has checked the types of all it reads.
"""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]

PAGE_VIEWED = "Page Viewed"
SCREEN_VIEWED = "Screen Viewed"

MESSAGE_TYPES = frozenset({"track", "identify", "group", "page", "screen", "alias"})


def event_name(message: Message) -> str | None:
    """The name by which definitions find it: a track's own, or `Page Viewed`, `Screen Viewed`; None for other calls."""
    kind = message["type"]
    if kind == "track":
        return message["event"]  # type: ignore[no-any-return]
    if kind == "page":
        return PAGE_VIEWED
    if kind == "screen":
        return SCREEN_VIEWED
    return None


def properties_of(message: Message) -> dict[str, Any]:
    """What `property('…')` reads: for pages and screens with `name` and `category`, unless the properties have them."""
    properties: dict[str, Any] = message.get("properties") or {}
    if message["type"] == "track":
        return properties
    extra: dict[str, Any] = {
        key: message[key] for key in ("name", "category") if key in message and key not in properties
    }
    return {**properties, **extra} if extra else properties


def id_text(value: object) -> str | None:
    """An id as text: strings as they are, integers in digits, anything else is none."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
