"""What the demo reads back from the log: the `changes` topic and `events.dead`."""

from __future__ import annotations

from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

Headers = Iterable[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was refused."""

    original: bytes | None
    """Its bytes; None where it had no value."""
    why: str


@dataclass(slots=True)
class LogRead:
    """Everything read so far."""

    changes: dict[tuple[str, str], list[object]] = field(default_factory=lambda: defaultdict(list))
    """(who, definition's key) → values in the log's order, repeats left out."""
    changes_count: int = 0
    """Without repeats."""
    dead: list[DeadLetter] = field(default_factory=list)
    """In no order of note: partitions are read as they come."""
    _seen: set[bytes | None] = field(default_factory=set)

    def take_change(self, value: bytes, headers: Headers) -> None:
        """One record of `changes`; a repeat has the id of its original and is passed over.

        Raises:
            KeyError, ValueError: it is no CloudEvent of ours.
        """
        event_id = dict(headers)["ce_id"]
        if event_id in self._seen:
            return
        self._seen.add(event_id)
        data = orjson.loads(value)
        self.changes[_who(data["identifiers"]), data["key"]].append(data["value"])
        self.changes_count += 1

    def take_dead(self, value: bytes) -> None:
        """One record of `events.dead`."""
        letter = orjson.loads(value)
        original = None if letter["original"] is None else b64decode(letter["original"])
        self.dead.append(DeadLetter(original, f"{letter['reason']}: {letter['message']}"))


def _who(identifiers: Iterable[dict[str, str]]) -> str:
    """As the truth names people: by the user id where there is one, else by the first anonymous id."""
    held = {found["type"]: found["value"] for found in reversed(list(identifiers))}
    kind = "user_id" if "user_id" in held else "anonymous_id"
    return f"{kind}:{held[kind]}"
