"""Which messages `link` has decided that name somebody who was ever taken out of a profile: it decides them once.

Decided once more, by what has left since, one could become another profile's; and what was decided is in `profiles.in`.
Kept for as long as a message may be read again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice

import orjson

from app.identity.rules import Identifier
from app.profiles.seen import DAY_MS, DAYS_KEPT
from app.profiles.store import StateReader

DECIDED = b"d|"
_DAY = struct.Struct(">I")
_HASH_BYTES = 16


class Decided:
    """One batch of `link`.

    Args:
        state: As of the batches before.
        writes: What the batch writes.
    """

    def __init__(self, state: StateReader, writes: dict[bytes, bytes | None]) -> None:
        self._state = state
        self._writes = writes
        self._count = 0
        self._newest_ms = 0

    def take(self, message_id: str, usable: Sequence[Identifier], at_ms: int) -> bool:
        """Whether a message is decided for the first time; from now on it is decided."""
        keys = _keys(message_id, usable, at_ms)
        held = self._state.get_many(keys)
        if any(value is not None or key in self._writes for key, value in zip(keys, held, strict=True)):
            return False
        self._count += 1
        self._newest_ms = max(self._newest_ms, at_ms)
        self._writes[keys[0]] = b""
        return True

    def settle(self) -> None:
        """Forget what is old enough: at most twice as many as have come."""
        oldest_day = self._newest_ms // DAY_MS - DAYS_KEPT
        for key in islice(self._state.keys(DECIDED), 2 * self._count):
            if _DAY.unpack_from(key, len(DECIDED))[0] < oldest_day:
                self._writes[key] = None


def _keys(message_id: str, usable: Sequence[Identifier], at_ms: int) -> list[bytes]:
    """The key of a message; and those that it has if it was said to have come a day earlier or later."""
    hashed = blake2b(orjson.dumps([message_id, usable]), digest_size=_HASH_BYTES).digest()
    day = at_ms // DAY_MS
    return [DECIDED + _DAY.pack(near) + hashed for near in (day, max(day - 1, 0), day + 1)]
