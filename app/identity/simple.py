"""The simple rule of identity: userId if there is one, else anonymousId; each is a profile of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.errors import InvalidEvent, InvalidEventReason
from app.events.model import Message, id_text

IDENTIFYING_TYPES = frozenset({"user_id", "email", "android.idfa", "ios.idfa"})
"""A profile that has none of these is anonymous."""

_UNSET = re.compile(r"[0-]*")


@dataclass(frozen=True, slots=True)
class Identifier:
    type: str
    value: str


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """Values that careless clients send for everybody; the empty text, zeroes and dashes are always blocked."""

    blocked: frozenset[str] = frozenset({"-1", "null", "anonymous"})

    def allows(self, value: str) -> bool:
        # A value that begins with anything else is no row of zeroes and dashes.
        return value.lower() not in self.blocked and not (value[:1] in "0-" and _UNSET.fullmatch(value))


def owner_of(message: Message, rules: IdentityRules) -> Identifier:
    """The identifier whose profile the message belongs to.

    Raises:
        InvalidEvent: `no_identifier`, when it has none that is allowed.
    """
    user = id_text(message.get("userId"))
    if user is not None and rules.allows(user):
        return Identifier("user_id", user)
    anonymous = id_text(message.get("anonymousId"))
    if anonymous is not None and rules.allows(anonymous):
        return Identifier("anonymous_id", anonymous)
    raise InvalidEvent(InvalidEventReason.NO_IDENTIFIER, "needs a userId or an anonymousId that is not a placeholder")


def identifiers_of(message: Message, rules: IdentityRules) -> list[tuple[str, str]]:
    """Every identifier in a message as (type, value), in order of priority; blocked values are left out."""
    context = message.get("context") or {}
    device = context.get("device")
    traits = message.get("traits") if message["type"] == "identify" else context.get("traits")
    found = [("user_id", message.get("userId")), ("email", traits.get("email") if isinstance(traits, dict) else None)]
    if isinstance(device, dict) and device.get("type") in ("android", "ios"):
        found.append((f"{device['type']}.idfa", device.get("advertisingId")))
    found.append(("anonymous_id", message.get("anonymousId")))
    texts = [(kind, id_text(value)) for kind, value in found]
    return [(kind, text) for kind, text in texts if text is not None and rules.allows(text)]
