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
"""`s|id` → what is being folded anew from the log, a split or a recount, and is waited for by its profile. In the
changelog too."""

WAITING = b"h|"
"""`h|length of the account (u16) ‖ account ‖ at ms (u64) ‖ offset (u64)` → a record of a user that its account has yet
to apply. In the changelog too."""

BROUGHT = b"b|"
"""`b|length of the account (u16) ‖ account ‖ length of the user (u16) ‖ user ‖ version (u64) ‖ piece (u32)` → a piece
of what a user brings along to an account, until the record is applied that it goes with. In the changelog too."""

META = b"m|"
"""`m|…` → what the partition has to remember of itself. `m|` alone is in the changelog too, last of each batch."""

_DUE = struct.Struct(">Q")
_LENGTH = struct.Struct(">H")
_AT = struct.Struct(">QQ")
_PIECE = struct.Struct(">QI")


def part_key(profile: bytes, name: bytes) -> bytes:
    """The key of a part of a profile's long lists."""
    return PART + profile + name


def timer_key(due_ms: int, profile: bytes) -> bytes:
    """The key of a profile's timer; keys sort by due time."""
    return TIMER + _DUE.pack(due_ms) + profile


def due_of(key: bytes) -> tuple[int, bytes]:
    """(due ms, profile) of a timer's key."""
    return _DUE.unpack_from(key, 2)[0], key[10:]


def waiting_prefix(account: bytes) -> bytes:
    """What the keys of all that waits for an account begin with, and those of no other."""
    return WAITING + _LENGTH.pack(len(account)) + account


def waiting_key(account: bytes, at_ms: int, offset: int) -> bytes:
    """The key of a record that waits for an account; keys sort by instant, then by the log's order."""
    return waiting_prefix(account) + _AT.pack(at_ms, offset)


def waits_since(key: bytes) -> tuple[int, int]:
    """(at ms, offset) of such a key."""
    at_ms, offset = _AT.unpack_from(key, len(key) - _AT.size)
    return at_ms, offset


def brought_key(account: bytes, user: str, version: int, piece: int) -> bytes:
    """The key of a piece of what a user brings along, with that user's record of a version."""
    encoded = user.encode()
    of = _LENGTH.pack(len(account)) + account + _LENGTH.pack(len(encoded)) + encoded
    return BROUGHT + of + _PIECE.pack(version, piece)


class StateReader(Protocol):
    """The read side of a partition's store."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, with every batch that has been handed over, written down or not."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The same for many keys at once, in their order."""
        ...

    def keys(self, prefix: bytes, start: bytes = b"") -> Iterator[bytes]:
        """The keys that begin so, in order, from one of them on; good until the next write."""
        ...

    def timers_until(self, due_ms: int, limit: int) -> Iterator[tuple[int, bytes]]:
        """(due, profile) of timers that are due by then, earliest first, at most `limit`."""
        ...
