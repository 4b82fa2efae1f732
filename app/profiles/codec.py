"""A profile's bytes: what the store and the changelog hold.

    ┌─────────┬────────┬──────────┬───────┬───────────────┬──────────────────────────────────────────────────────────┐
    │ version │ crc32c │ w        │ epoch │ armed_due     │ body: MessagePack                                        │
    │ u8      │ u32    │ i64      │ u32   │ i64, ms       │ [clock, sequence, plan, identifiers, traits, cells,      │
    │         │        │          │       │               │  emitted, merging or nil, and where there is either:     │
    │         │        │          │       │               │  belonging or nil, members or nil, history if any]       │
    └─────────┴────────┴──────────┴───────┴───────────────┴──────────────────────────────────────────────────────────┘

Version 2 is one whose long lists are kept in parts (`app.profiles.parts`): extensions with their names stand for them.
Version 3 is one that was erased: it has no body.
Big-endian. The checksum covers everything behind it. `w` and `armed_due` stand in front so that restoring can compare
and index records without decoding them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import google_crc32c
import msgspec

from app.profiles import parts
from app.profiles.belonging import Belonging
from app.profiles.history import History
from app.profiles.members import Members
from app.profiles.merging import Merging, Parked
from app.profiles.state import Cell, Profile

WHOLE, IN_PARTS, ERASED = 1, 2, 3
WHOLE_BYTES_MAX = 16 * 1024
"""From there on a profile's long lists are kept in parts."""
_HEAD = struct.Struct(">BIqIq")
_BEHIND_CRC = struct.Struct(">qIq")
_encoder = msgspec.msgpack.Encoder(decimal_format="string")
_decoder = msgspec.msgpack.Decoder(ext_hook=parts.Named)
_crc32c: Callable[[bytes], int] = google_crc32c.value


class _Front(msgspec.Struct, array_like=True):
    """The first fields of a body; those behind them are not looked at."""

    clock: int
    sequence: int
    plan: int


_front_decoder = msgspec.msgpack.Decoder(_Front)


class CorruptProfile(Exception):
    """Bytes that are no profile: the store is damaged, and its partition has to be restored from the changelog."""


def encode(profile: Profile, epoch: int) -> bytes:
    """A profile's bytes, whole, under a source epoch (32 bits of the source topic's id)."""
    if profile.erased:
        return _framed(ERASED, profile, epoch, b"")
    return _encode(WHOLE, profile, profile.cells, _merging(profile), _accounts(profile), epoch)


def encode_in_parts(profile: Profile, epoch: int) -> tuple[bytes, dict[bytes, bytes]]:
    """A large profile's bytes, and its parts by name."""
    found: dict[bytes, bytes] = {}
    cells, merging, accounts = (
        parts.split(each, found) for each in (profile.cells, _merging(profile), _accounts(profile))
    )
    return _encode(IN_PARTS, profile, cells, merging, accounts, epoch), found


def rearmed(data: bytes, profile: Profile, epoch: int) -> bytes:
    """A profile's bytes, where of those that it had only `w` and `armed_due` have changed."""
    return _framed(data[0], profile, epoch, data[_HEAD.size :])


def _merging(profile: Profile) -> list[Any] | None:
    held = profile.merging
    if held is None:
        return None
    parked = [[each.offset, each.repeat, each.value] for each in held.parked]
    mine = [held.redirect, held.absorbed, held.waiting, parked, held.pieces, held.paused_due]
    if not (held.parted or held.is_parting or held.passed or held.since):
        return mine
    rest = [held.passed, held.since] if held.since else [held.passed] if held.passed else []
    return [*mine, held.parted, held.is_parting, held.may_return, *rest]


def _accounts(profile: Profile) -> list[Any]:
    """What is behind the fields that every profile has."""
    belonging, members, history = profile.belonging, profile.members, profile.history
    if belonging is None and members is None:
        return []
    return [
        belonging.to_list() if belonging is not None else None,
        members.to_list() if members is not None else None,
        *([history.to_list()] if history is not None else []),
    ]


def _encode(
    version: int,
    profile: Profile,
    cells: Mapping[str, Cell],
    merging: list[Any] | None,
    accounts: list[Any],
    epoch: int,
) -> bytes:
    body = _encoder.encode(
        (
            profile.clock,
            profile.sequence,
            profile.plan,
            profile.identifiers,
            profile.traits,
            cells,
            profile.emitted,
            merging,
            *accounts,
        )
    )
    return _framed(version, profile, epoch, body)


def _framed(version: int, profile: Profile, epoch: int, body: bytes) -> bytes:
    rest: bytes = _BEHIND_CRC.pack(profile.w, epoch, profile.armed_due) + body
    return bytes((version,)) + _crc32c(rest).to_bytes(4, "big") + rest


def decode(data: bytes, read: parts.Read | None = None) -> Profile:
    """The profile in these bytes.

    Args:
        read: Reads its parts. Without it long lists are left as their names, for those who do not look at cells.

    Raises:
        CorruptProfile: wrong version, wrong checksum or cut; a part that is missing.
    """
    check(data)
    profile = Profile()
    _, _, profile.w, _, profile.armed_due = _HEAD.unpack_from(data)
    if data[0] == ERASED:
        profile.erased, profile.indexed_due = True, profile.armed_due
        return profile
    body = _decoder.decode(memoryview(data)[_HEAD.size :])
    clock, sequence, plan, identifiers, traits, cells, emitted, merging, *accounts = body
    profile.clock = clock
    profile.sequence = sequence
    profile.plan = plan
    profile.indexed_due = profile.armed_due
    profile.identifiers = [(kind, value) for kind, value in identifiers]
    profile.traits = traits
    profile.cells = cells
    if data[0] == IN_PARTS:
        profile.parts = frozenset(parts.names([cells, merging, accounts]))
        if read is not None:
            try:
                profile.cells, merging, accounts = parts.join([cells, merging, accounts], read)
            except parts.MissingPart as error:
                raise CorruptProfile(str(error)) from error
    profile.emitted = emitted
    if merging is not None and not (profile.parts and read is None):
        redirect, absorbed, waiting, parked, *rest = merging
        profile.merging = Merging(redirect, absorbed, waiting, [Parked(*each) for each in parked], *rest)
        profile.merging.parted = {each: (into, number) for each, (into, number) in profile.merging.parted.items()}
    if accounts and not (profile.parts and read is None):
        belonging, members, *history = accounts
        profile.belonging = Belonging(*belonging) if belonging is not None else None
        profile.members = Members(*members) if members is not None else None
        profile.history = History(*history[0]) if history else None
    return profile


def check(data: bytes) -> None:
    """That the bytes are whole.

    Raises:
        CorruptProfile: if they are not.
    """
    if len(data) < _HEAD.size or data[0] not in (WHOLE, IN_PARTS, ERASED):
        raise CorruptProfile(f"a profile of {len(data)} bytes and version {data[0] if data else 'none'}")
    if int.from_bytes(data[1:5], "big") != _crc32c(data[5:]):
        raise CorruptProfile("a profile whose checksum is wrong")


def w_of(data: bytes) -> int:
    """The offset last applied to a profile, without decoding it."""
    return _HEAD.unpack_from(data)[2]  # type: ignore[no-any-return]


def is_erased(data: bytes) -> bool:
    """Whether a profile was erased."""
    return data[0] == ERASED


def plan_of(data: bytes) -> int:
    """The version of the plan that evaluated a profile last, without decoding the rest; of one that is not erased."""
    return _front_decoder.decode(memoryview(data)[_HEAD.size :]).plan


def armed_due_of(data: bytes) -> int:
    """When the profile's timer is due, without decoding it; 0 for never."""
    return _HEAD.unpack_from(data)[4]  # type: ignore[no-any-return]
