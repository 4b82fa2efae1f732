"""A profile's bytes: what goes in comes out, and what is damaged is noticed."""

from __future__ import annotations

import struct
from decimal import Decimal

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.profiles import codec
from app.profiles.codec import CorruptProfile
from app.profiles.merging import Merging, Parked
from app.profiles.state import Profile

HEAD_BYTES = 25


def profile() -> Profile:
    made = Profile()
    made.w = 1234567890123
    made.armed_due = 1767225600000
    made.clock = 1767225599999
    made.sequence = 7
    made.plan = 0xFFFFFFFF
    made.identifiers = [("user_id", "ann"), ("email", "ann@example.org")]
    made.traits = {"plan": ["gold", 5, 1 << 62], "nested": [{"a": [1, None, True, 1.5]}, 6, 2]}
    made.cells = {"c1": 3, "c2": [1, 2, 3], "c3": [Decimal("1.10"), 2], "c4": [[1, 0, None]]}
    made.emitted = {"vip": True, "spent": 1.1}
    return made


def test_layout_is_the_one_that_is_drawn() -> None:
    data = codec.encode(profile(), 0xA1B2C3D4)
    version, crc, w, epoch, due = struct.unpack_from(">BIqIq", data)
    assert (version, w, epoch, due) == (1, 1234567890123, 0xA1B2C3D4, 1767225600000)
    assert crc == google_crc32c.value(data[5:])
    assert struct.calcsize(">BIqIq") == HEAD_BYTES
    assert (codec.w_of(data), codec.armed_due_of(data)) == (w, due)


def test_round_trip_keeps_everything() -> None:
    made = profile()
    back = codec.decode(codec.encode(made, 1))
    for name in ("w", "armed_due", "clock", "sequence", "plan", "identifiers", "traits", "emitted"):
        assert getattr(back, name) == getattr(made, name), name
    # A decimal comes back as text, which cells read; nothing else changes.
    assert back.cells == made.cells | {"c3": ["1.10", 2]}
    assert back.indexed_due == made.armed_due
    assert codec.encode(back, 1) == codec.encode(made, 1)


@pytest.mark.parametrize("parted", [{}, {b"\x00" * 16: ("prf_2", 1), b"\xff" * 16: ("prf_3", 2)}])
def test_what_is_remembered_of_merges_and_splits_round_trips(parted: dict[bytes, tuple[str, int]]) -> None:
    made = profile()
    parked = [Parked(7, True, b"{}")]
    made.merging = Merging("", ["prf_4"], ["spl_1/left"], parked, {"prf_5": [b"1", b"2"]}, 9, parted, bool(parted))
    made.merging.passed = {b"\x01" * 8: 20_000} if parted else {}
    assert codec.decode(codec.encode(made, 1)).merging == made.merging
    data, held = codec.encode_in_parts(made, 1)
    assert codec.decode(data, lambda names: [held[name] for name in names]).merging == made.merging


def test_of_an_erased_profile_only_the_head_is_kept() -> None:
    made = profile()
    made.erased = True
    data = codec.encode(made, 1)
    assert (len(data), codec.is_erased(data), codec.is_erased(codec.encode(profile(), 1))) == (HEAD_BYTES, True, False)
    back = codec.decode(data)
    assert (back.erased, back.w, back.armed_due, back.indexed_due) == (True, made.w, made.armed_due, made.armed_due)
    assert (back.identifiers, back.traits, back.cells, back.emitted) == ([], {}, {}, {})


def test_fresh_profile_round_trip() -> None:
    back = codec.decode(codec.encode(Profile(), 0))
    assert (back.w, back.armed_due, back.emitted, back.cells) == (-1, 0, {}, {})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.text(), st.tuples(json_values, st.integers(0, 2**53), st.integers(0, 2**63 - 1)).map(list), max_size=4
    )
)
def test_traits_of_any_json_round_trip(traits: dict[str, list[object]]) -> None:
    made = Profile()
    made.traits = traits
    assert codec.decode(codec.encode(made, 1)).traits == traits


@pytest.mark.parametrize("at", [0, 1, 4, 5, 12, 13, 17, HEAD_BYTES, -1])
def test_any_byte_that_turned_is_noticed(at: int) -> None:
    data = bytearray(codec.encode(profile(), 1))
    data[at] ^= 0x40
    with pytest.raises(CorruptProfile):
        codec.decode(bytes(data))


@pytest.mark.parametrize("size", [0, 1, HEAD_BYTES - 1, HEAD_BYTES, -1])
def test_cut_bytes_are_noticed(size: int) -> None:
    with pytest.raises(CorruptProfile):
        codec.check(codec.encode(profile(), 1)[:size])


def test_another_version_is_refused_even_with_a_right_checksum() -> None:
    data = codec.encode(profile(), 1)
    with pytest.raises(CorruptProfile, match="version 4"):
        codec.decode(b"\x04" + data[1:])
