"""What a record of `destinations.<name>` holds, as its sender reads it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from app.compute.changes import Origin
from app.errors import HeadwaterError

JsonObject = dict[str, object]


class InvalidPayload(HeadwaterError):
    """A record that no router of ours wrote, or that lost its sense; it becomes a dead letter of its destination."""


class Computation(msgspec.Struct, frozen=True):
    """What the payload tells of: a definition's answer, or an erasure, whose id is the regulation's.

    Journeys are not made here, but delivered: what another system made, or what was recorded of it. A step of a journey
    of the first generation looks like an audience whose key begins with `j_o_`.
    """

    class_: Literal["audience", "trait", "journey_step", "erasure"] = msgspec.field(name="class")
    id: str
    key: str


class Payload(msgspec.Struct, frozen=True):
    """One message about one user or account to one destination."""

    id: str
    """The same at every repeat: the receiver's idempotency key."""
    destination: str
    profile: str
    sequence: int
    """Rises with each change of the profile."""
    at: str
    """ISO 8601 in UTC, milliseconds."""
    origin: Origin
    computation: Computation
    call: JsonObject = msgspec.field(name="payload")
    """The identify, track, group or delete call."""
    absorbed: tuple[str, ...] = ()
    """To lists only: profiles that are part of this one. What was said of them is said of it now."""

    @property
    def is_erasure(self) -> bool:
        """Whether it asks to forget the person."""
        return self.computation.class_ == "erasure"

    @property
    def is_journey(self) -> bool:
        return self.computation.class_ == "journey_step" or self.computation.key.startswith("j_o_")

    @property
    def kind(self) -> Literal["entered", "exited", "computed", "reached", "erased"]:
        """`reached` is a step of a journey that events started: an event, and nobody's membership.

        Raises InvalidPayload where a membership is anything but true or false: that is not the same as false.
        """
        if self.is_erasure:
            return "erased"
        if self.computation.class_ == "trait":
            return "computed"
        if self.is_journey and self.is_track and "journey_metadata" in self.fields:
            return "reached"
        if not isinstance(self.value, bool):
            raise InvalidPayload(f"{self.id}: a membership that is neither true nor false")
        return "entered" if self.value else "exited"

    @property
    def name(self) -> str:
        """What the mapping called the membership or the trait: the first field's name; empty where there is none."""
        return self._told[0]

    @property
    def value(self) -> object:
        """The membership, the trait's value, or what a journey's step tells."""
        value = self._told[1]
        # One of the pages that describe journeys has the membership as text.
        return value == "true" if self.is_journey and value in ("true", "false") else value

    @property
    def _told(self) -> tuple[str, object]:
        if not self.is_track:
            return next(iter(_items(self.call, "traits")), ("", None))
        named = "trait_key" if self.computation.class_ == "trait" else "audience_key"
        return next((item for item in _items(self.call, "properties") if item[0] != named), ("", None))

    @property
    def is_track(self) -> bool:
        return self.call.get("type") == "track"

    @property
    def event(self) -> str:
        """A track's name; empty for other calls."""
        name = self.call.get("event")
        return name if isinstance(name, str) else ""

    @property
    def fields(self) -> JsonObject:
        """What it tells: a track's properties; of other calls the traits without the e-mail, which is an identifier."""
        if self.is_track:
            return dict(_items(self.call, "properties"))
        return {name: value for name, value in _items(self.call, "traits") if name != "email"}

    @property
    def traits(self) -> JsonObject:
        """What it carries of the profile, the e-mail too; a track carries it in its context."""
        if not self.is_track:
            return dict(_items(self.call, "traits"))
        context = self.call.get("context")
        return dict(_items(context, "traits")) if isinstance(context, dict) else {}

    @property
    def at_ms(self) -> int:
        """Raises InvalidPayload where `at` is no instant."""
        try:
            return round(datetime.fromisoformat(self.at).timestamp() * 1000)
        except ValueError:
            raise InvalidPayload(f"{self.id}: {self.at!r} is no instant") from None

    @property
    def at_s(self) -> int:
        return self.at_ms // 1000

    @property
    def ids(self) -> dict[str, str]:
        """Identifier type → value: user_id, anonymous_id, email, an account's group_id; what the message carries."""
        call = self.call
        if call.get("type") == "group":
            found = {"group_id": call.get("groupId")}
        else:
            email = self.traits.get("email")
            found = {"user_id": call.get("userId"), "anonymous_id": call.get("anonymousId"), "email": email}
        return {kind: value for kind, value in found.items() if isinstance(value, str) and value}


_DECODER = msgspec.json.Decoder(Payload)


def parse_payload(value: bytes | None) -> Payload:
    """Raises InvalidPayload, with where and why."""
    if value is None:
        raise InvalidPayload("the record has no value")
    try:
        return _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPayload(str(error)) from None


def _items(call: Mapping[str, object], field: str) -> list[tuple[str, object]]:
    found = call.get(field)
    return list(found.items()) if isinstance(found, dict) else []
