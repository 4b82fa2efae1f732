"""A profile's bytes: what the store and the changelog hold.

    ┌─────────┬────────┬──────────┬───────┬───────────────┬──────────────────────────────────────────────────────────┐
    │ version │ crc32c │ w        │ epoch │ armed_due     │ body: MessagePack                                        │
    │ u8      │ u32    │ i64      │ u32   │ i64, ms       │ [clock, sequence, plan, identifiers, traits, cells,      │
    │         │        │          │       │               │  emitted]                                                │
    └─────────┴────────┴──────────┴───────┴───────────────┴──────────────────────────────────────────────────────────┘

Big-endian. The checksum covers everything behind it. `w` and `armed_due` stand in front so that restoring can compare
and index records without decoding them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import google_crc32c
import msgspec

from app.profiles.state import Profile

VERSION = 1
_HEAD = struct.Struct(">BIqIq")
_BEHIND_CRC = struct.Struct(">qIq")
_encoder = msgspec.msgpack.Encoder(decimal_format="string")
_decoder = msgspec.msgpack.Decoder()
_front_decoder = msgspec.msgpack.Decoder(tuple[int, int, int, msgspec.Raw, msgspec.Raw, msgspec.Raw, msgspec.Raw])
_crc32c: Callable[[bytes], int] = google_crc32c.value


class CorruptProfile(Exception):
    """Bytes that are no profile: the store is damaged, and its partition has to be restored from the changelog."""


def encode(profile: Profile, epoch: int) -> bytes:
    """A profile's bytes under a source epoch (32 bits of the source topic's id)."""
    body = _encoder.encode(
        (
            profile.clock,
            profile.sequence,
            profile.plan,
            profile.identifiers,
            profile.traits,
            profile.cells,
            profile.emitted,
        )
    )
    rest: bytes = _BEHIND_CRC.pack(profile.w, epoch, profile.armed_due) + body
    return b"\x01" + _crc32c(rest).to_bytes(4, "big") + rest


def decode(data: bytes) -> Profile:
    """The profile in these bytes.

    Raises:
        CorruptProfile: wrong version, wrong checksum or cut.
    """
    check(data)
    profile = Profile()
    _, _, profile.w, _, profile.armed_due = _HEAD.unpack_from(data)
    clock, sequence, plan, identifiers, traits, cells, emitted = _decoder.decode(memoryview(data)[_HEAD.size :])
    profile.clock = clock
    profile.sequence = sequence
    profile.plan = plan
    profile.indexed_due = profile.armed_due
    profile.identifiers = [(kind, value) for kind, value in identifiers]
    profile.traits = traits
    profile.cells = cells
    profile.emitted = emitted
    return profile


def check(data: bytes) -> None:
    """That the bytes are whole.

    Raises:
        CorruptProfile: if they are not.
    """
    if len(data) < _HEAD.size or data[0] != VERSION:
        raise CorruptProfile(f"a profile of {len(data)} bytes and version {data[0] if data else 'none'}")
    if int.from_bytes(data[1:5], "big") != _crc32c(data[5:]):
        raise CorruptProfile("a profile whose checksum is wrong")


def w_of(data: bytes) -> int:
    """The offset last applied to a profile, without decoding it."""
    return _HEAD.unpack_from(data)[2]  # type: ignore[no-any-return]


def plan_of(data: bytes) -> int:
    """The version of the plan that evaluated a profile last, without decoding the rest."""
    return _front_decoder.decode(memoryview(data)[_HEAD.size :])[2]


def armed_due_of(data: bytes) -> int:
    """When the profile's timer is due, without decoding it; 0 for never."""
    return _HEAD.unpack_from(data)[4]  # type: ignore[no-any-return]
