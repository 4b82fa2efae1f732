"""The bounded window of message ids: two records with the same id for the same profile count once.

An id is kept under the day in which it came, and asked for on that day and the next, so it holds for 24 hours at least.
Days go once the log's clock is `DAYS_KEPT` past them: partitions of `events.raw` may be that far apart. In the
changelog a batch's ids follow the state that they belong to: an id that was restored without it would turn away its own
replay.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from app.profiles.store import SEEN

DAY_MS = 86_400_000
DAYS_KEPT = 3
TAG_BYTES = 8
HASH_BYTES = 16
_DAY = struct.Struct(">I")
_NUMBER = struct.Struct(">q")


def profile_tag(profile: bytes) -> bytes:
    """8 bytes that stand for a profile: its own digits, as a rule, which are a hash already."""
    try:
        tag = bytes.fromhex(profile[4:20].decode())
    except ValueError:
        tag = b""
    return tag if len(tag) == TAG_BYTES else blake2b(profile, digest_size=TAG_BYTES).digest()


def id_hash(message_id: str) -> bytes:
    """8 bytes that stand for a message id, within a profile and a few days."""
    return blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES - TAG_BYTES).digest()


def seen_hash(profile: bytes, message_id: str) -> bytes:
    """16 bytes that stand for a message id of a profile. All of a profile begin alike, so that a merge finds them."""
    return profile_tag(profile) + id_hash(message_id)


def day_prefix(day: int) -> bytes:
    """What the keys of a day's ids begin with; the id's hash follows."""
    return SEEN + _DAY.pack(day)


def seen_key(day: int, hashed: bytes) -> bytes:
    """The key under which an id of that day is kept."""
    return day_prefix(day) + hashed


def day_of_key(key: bytes) -> int:
    """The day in a key of seen ids, packed or not."""
    return _DAY.unpack_from(key, 2)[0]  # type: ignore[no-any-return]


def packed_key(day: int, number: int) -> bytes:
    """The changelog key of a batch's ids: the how-manieth batch of its day. Shorter than any single id's key."""
    return SEEN + _DAY.pack(day) + _NUMBER.pack(number)


def unpack(data: bytes) -> list[bytes]:
    """The hashes in a packed value, which is one after the other."""
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
