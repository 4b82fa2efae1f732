"""The simple rule of identity: userId if there is one, else anonymousId; each is a profile of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import InvalidEvent, InvalidEventReason
from app.events.model import Message, id_text

IDENTIFYING_TYPES = frozenset({"user_id", "email", "android.idfa", "ios.idfa"})
"""A profile that has none of these is anonymous."""

_UNSET = re.compile(r"[0-]*")


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """Values that careless clients send for everybody; the empty text, zeroes and dashes are always blocked."""

    blocked: frozenset[str] = frozenset({"-1", "null", "anonymous"})

    def allows(self, value: str) -> bool:
        # A value that begins with anything else is no row of zeroes and dashes.
        return value.lower() not in self.blocked and not (value[:1] in "0-" and _UNSET.fullmatch(value))


def owner_of(found: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The identifier whose profile a message belongs to, of those that `identifiers_of` found in it.

    Raises:
        InvalidEvent: `no_identifier`, when there is neither of the two.
    """
    if found:
        if found[0][0] == "user_id":
            return found[0]
        if found[-1][0] == "anonymous_id":
            return found[-1]
    raise InvalidEvent(InvalidEventReason.NO_IDENTIFIER, "needs a userId or an anonymousId that is not a placeholder")


def identifiers_of(message: Message, rules: IdentityRules) -> list[tuple[str, str]]:
    """Every identifier in a message as (type, value), in order of priority; blocked values are left out."""
    context = message.get("context") or {}
    found: list[tuple[str, str]] = []

    def take(kind: str, value: object) -> None:
        if value is not None and (text := id_text(value)) is not None and rules.allows(text):
            found.append((kind, text))

    take("user_id", message.get("userId"))
    traits = message.get("traits") if message["type"] == "identify" else context.get("traits")
    if isinstance(traits, dict):
        take("email", traits.get("email"))
    device = context.get("device")
    if isinstance(device, dict) and device.get("type") in ("android", "ios"):
        take(f"{device['type']}.idfa", device.get("advertisingId"))
    take("anonymous_id", message.get("anonymousId"))
    return found
