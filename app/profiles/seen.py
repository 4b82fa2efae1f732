"""The bounded window of message ids: two records with the same id for the same profile count once.

An id is remembered for the day in which it came and the next, so for 24 hours at least. What is remembered with it is
the offset that it was applied at: a record that finds its own offset is itself, replayed, and no repeat; so an id that
was restored without its profile's state turns nothing away.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from app.profiles.store import SEEN

DAY_MS = 86_400_000
HASH_BYTES = 16
_DAY = struct.Struct(">I")
_OFFSET = struct.Struct(">q")
_ENTRY_BYTES = HASH_BYTES + _OFFSET.size


def seen_hash(profile: bytes, message_id: str) -> bytes:
    """16 bytes that stand for a message id of a profile."""
    return blake2b(profile + b"\0" + message_id.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).digest()


def seen_key(day: int, hashed: bytes) -> bytes:
    """The key under which an id of that day is kept."""
    return SEEN + _DAY.pack(day) + hashed


def day_of_key(key: bytes) -> int:
    """The day in a key of seen ids, packed or not."""
    return _DAY.unpack_from(key, 2)[0]  # type: ignore[no-any-return]


def pack_offset(offset: int) -> bytes:
    return _OFFSET.pack(offset)


def unpack_offset(data: bytes) -> int:
    return _OFFSET.unpack(data)[0]  # type: ignore[no-any-return]


def packed_key(day: int, number: int) -> bytes:
    """The changelog key of a batch's ids: the how-manieth batch of its day. Shorter than any single id's key."""
    return SEEN + _DAY.pack(day) + _OFFSET.pack(number)


def pack(entries: list[tuple[bytes, int]]) -> bytes:
    """(hash, offset) pairs as one value."""
    return b"".join(hashed + _OFFSET.pack(offset) for hashed, offset in entries)


def unpack(data: bytes) -> list[tuple[bytes, bytes]]:
    """The (hash, offset as bytes) pairs of a packed value."""
    return [
        (data[at : at + HASH_BYTES], data[at + HASH_BYTES : at + _ENTRY_BYTES])
        for at in range(0, len(data), _ENTRY_BYTES)
    ]
