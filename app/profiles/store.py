"""What a partition's state is kept in, as the stages see it, and how its keys are made."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Protocol

PROFILE = b"p|"
"""`p|profile` → a profile's bytes (`app.profiles.codec`). In the changelog too."""

PART = b"c|"
"""`c|profile ‖ name (16 bytes)` → a part of one of the profile's long lists. In the changelog too."""

TIMER = b"t|"
"""`t|due ms (u64) ‖ profile` → nothing. Local: rebuilt from the profiles when they are restored."""

SEEN = b"d|"
"""`d|day (u32) ‖ hash (16 bytes)` → nothing. In the changelog as one packed record per batch."""

SPLIT = b"s|"
"""`s|id` → a split under way, of which the profile waits for what is left of it. In the changelog too."""

META = b"m|"
"""`m|…` → what the partition has to remember of itself. `m|` alone is in the changelog too, last of each batch."""

_DUE = struct.Struct(">Q")


def part_key(profile: bytes, name: bytes) -> bytes:
    """The key of a part of a profile's long lists."""
    return PART + profile + name


def timer_key(due_ms: int, profile: bytes) -> bytes:
    """The key of a profile's timer; keys sort by due time."""
    return TIMER + _DUE.pack(due_ms) + profile


def due_of(key: bytes) -> tuple[int, bytes]:
    """(due ms, profile) of a timer's key."""
    return _DUE.unpack_from(key, 2)[0], key[10:]


class StateReader(Protocol):
    """The read side of a partition's store."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, with every batch that has been handed over, written down or not."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The same for many keys at once, in their order."""
        ...

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        """The keys that begin so, and come after a key, in order."""
        ...

    def timers_until(self, due_ms: int, limit: int) -> Iterator[tuple[int, bytes]]:
        """(due, profile) of timers that are due by then, earliest first, at most `limit`."""
        ...
