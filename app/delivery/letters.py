"""Dead letters as they are read again: what each says, which of them somebody means, and what to send once more."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from app.activation.payload import JsonObject
from app.activation.wire import encode
from app.delivery.dead_letter import ORIGINAL_BYTES_MAX, Position
from app.events.dates import instant

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter that could be read."""

    destination: str
    source: Position
    """Where its payload lies; given up once, so it names the letter."""
    key: bytes | None
    value: JsonObject
    """The whole record."""

    @property
    def payload(self) -> JsonObject:
        """The record of the destination's topic; empty where that could not be read."""
        return {name: value for name, value in self.value.items() if name not in ("error", "original")}

    @property
    def error(self) -> JsonObject:
        found = self.value.get("error")
        return found if isinstance(found, dict) else {}

    @property
    def id(self) -> str:
        """The message id; empty where the record could not be read."""
        return _text(self.value.get("id"))

    @property
    def profile(self) -> str:
        return _text(self.value.get("profile"))

    @property
    def reason(self) -> str:
        return _text(self.error.get("reason"))

    @property
    def status(self) -> int | None:
        """The vendor's; None where it did not answer."""
        found = self.error.get("status")
        return found if isinstance(found, int) else None

    @property
    def at(self) -> str:
        """When it was given up, ISO 8601."""
        return _text(self.error.get("at"))

    @property
    def sequence(self) -> int:
        """Of its change, within the profile."""
        found = self.value.get("sequence")
        return found if isinstance(found, int) else -1

    @property
    def mark(self) -> bytes:
        """The key under which it is noted that the letter is dealt with."""
        return mark_of(self.source, self.id)

    @property
    def again(self) -> bytes | None:
        """What was in the destination's topic; None where not all of it was kept."""
        payload = self.payload
        if payload:
            return encode(payload)
        try:
            found = b64decode(_text(self.value.get("original")), validate=True)
        except Base64Error:
            return None
        return found if 0 < len(found) < ORIGINAL_BYTES_MAX else None

    def shown(self) -> JsonObject:
        """For machines."""
        return {
            "destination": self.destination,
            "partition": self.source.partition,
            "offset": self.source.offset,
            **self.value,
        }


def read_letter(
    destination: str, *, at: Position, key: bytes | None, value: bytes | None, headers: Headers
) -> Letter | None:
    """The letter in a record; None for what nobody of us wrote.

    Args:
        at: Where the record itself lies: that names a letter without headers of ours.
    """
    try:
        parsed = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("error"), dict):
        return None
    found = {name: text.decode(errors="replace") for name, text in headers if text is not None}
    try:
        source = Position(found["dead-topic"], int(found["dead-partition"]), int(found["dead-offset"]))
    except (KeyError, ValueError):
        source = at
    return Letter(destination, source, key, parsed)


def mark_of(source: Position, id_: str) -> bytes:
    """With the id, so that a topic which was made anew does not find its letters dealt with."""
    return f"{source.topic}/{source.partition}/{source.offset}/{id_}".encode()


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant: those that meet all that is given."""

    reasons: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    profile: str = ""
    """A profile's id, or a user id, anonymous id or e-mail address that the payload carries."""
    since_ms: int | None = None
    until_ms: int | None = None
    """Given up before then."""

    def takes(self, letter: Letter) -> bool:
        at_ms = instant(letter.at) or 0
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.statuses or letter.status in self.statuses)
            and (not self.profile or self.profile in _names(letter))
            and (self.since_ms is None or at_ms >= self.since_ms)
            and (self.until_ms is None or at_ms < self.until_ms)
        )


def in_order(letters: Sequence[Letter]) -> list[Letter]:
    """As their changes came, whatever order they were given up in."""
    return sorted(letters, key=lambda each: (each.source.partition, each.sequence, each.source.offset))


def subject(payload: Mapping[str, object]) -> tuple[object, ...]:
    """What a payload tells of, to whom: of two with the same, the later one is the truth."""
    call = payload.get("payload")
    call = call if isinstance(call, dict) else {}
    about, context = payload.get("computation"), call.get("context")
    carrier = context if call.get("type") == "track" else call  # of the profile's traits
    traits = carrier.get("traits") if isinstance(carrier, dict) else None
    email = traits.get("email") if isinstance(traits, dict) else None
    computation = about.get("id") if isinstance(about, dict) else None
    who = (call.get("userId"), call.get("anonymousId"), email)
    return (payload.get("profile"), computation, call.get("type"), *who)


def _names(letter: Letter) -> set[object]:
    return {letter.profile, *subject(letter.payload)[3:]}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
