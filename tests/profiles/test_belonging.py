"""What a user remembers of its accounts, and for them."""

from __future__ import annotations

import pytest

from app.profiles import codec
from app.profiles.belonging import UNTAGGED, Belonging, pack, unpack
from app.profiles.members import Members
from app.profiles.state import Profile
from app.profiles.windows import Count, WindowCount

KINDS = {"all": Count(), "recent": WindowCount(10)}


def member_of(*accounts: str) -> Belonging:
    belonging = Belonging()
    for account in accounts:
        assert belonging.join(account)
        assert not belonging.join(account)
    return belonging


def test_an_audience_holds_while_any_account_is_in_it() -> None:
    belonging = member_of("acme", "bits")
    assert not belonging.is_told("big")
    assert belonging.tell("acme", 1, {"big": True})
    assert belonging.tell("bits", 1, {"big": True})
    assert belonging.tell("acme", 2, {"big": False})
    assert belonging.is_told("big")
    assert belonging.teller("big", True) == "bits"
    assert belonging.tell("bits", 2, {"big": False})
    assert not belonging.is_told("big")
    assert belonging.teller("big", False) == "bits"


def test_of_a_trait_the_last_to_tell_counts() -> None:
    belonging = member_of("acme", "bits")
    assert belonging.last_told("seats") is None
    belonging.tell("acme", 1, {"seats": 5})
    belonging.tell("bits", 1, {"seats": 7})
    assert (belonging.last_told("seats"), belonging.teller("seats", 7)) == (7, "bits")
    belonging.tell("acme", 2, {"other": 1})
    assert belonging.last_told("seats") == 7


def test_who_is_no_user_of_an_account_and_who_has_heard_it_already_is_not_told() -> None:
    belonging = member_of("acme")
    assert not belonging.tell("bits", 1, {"big": True})
    assert belonging.tell("acme", 3, {"big": True})
    assert not belonging.tell("acme", 3, {"big": False})
    assert not belonging.tell("acme", 2, {"big": False})
    assert belonging.is_told("big")


def test_a_user_brings_along_what_counts_for_the_account_and_is_not_over() -> None:
    belonging = member_of()
    belonging.cells = {
        UNTAGGED: {"all": 2, "recent": [5, 95], "gone": 1},
        "acme": {"all": 1, "recent": [1]},
        "bits": {"all": 7},
    }
    assert unpack(pack(belonging.brought_along("acme", KINDS, 100))) == [{"all": 2, "recent": [95]}, {"all": 1}]
    assert unpack(pack(belonging.brought_along("else", KINDS, 200))) == [{"all": 2}]
    assert unpack(pack(Belonging().brought_along("acme", KINDS, 100))) == []


def test_cells_that_cannot_be_read_are_said_to_be_none() -> None:
    with pytest.raises(ValueError, match="cells that cannot be read"):
        unpack(b"no zlib")


def test_two_that_become_one_remember_what_either_did() -> None:
    ours, theirs = member_of("acme", "both"), member_of("bits", "both")
    ours.tell("both", 4, {"big": True})
    theirs.tell("both", 5, {"big": False})
    theirs.tell("bits", 1, {"seats": 3})
    ours.cells = {UNTAGGED: {"all": 1}}
    theirs.cells = {UNTAGGED: {"all": 2, "recent": [1, 99]}, "acme": {"all": 5}}
    ours.absorb(theirs, KINDS, 100)
    assert list(ours.accounts) == ["acme", "both", "bits"]
    assert not ours.is_told("big"), "the account has said so later"
    assert ours.last_told("seats") == 3
    assert ours.cells == {UNTAGGED: {"all": 3, "recent": [99]}, "acme": {"all": 5}}


def test_what_nobody_asks_for_any_more_is_dropped() -> None:
    belonging = Belonging(cells={UNTAGGED: {"all": 1, "gone": 2}, "acme": {"gone": 3}})
    belonging.keep(KINDS)
    assert belonging.cells == {UNTAGGED: {"all": 1}}


# ── bytes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_both_sides_come_back_from_their_bytes() -> None:
    user, account = Profile(), Profile()
    user.belonging = member_of("acme")
    user.belonging.tell("acme", 2, {"big": True, "seats": None})
    user.belonging.cells = {"acme": {"all": 3}}
    account.members = Members()
    account.members.join("ann", 1)
    account.members.said("ann", {"c": True})
    account.members.tell({"big": True})
    for profile in (user, account):
        back = codec.decode(codec.encode(profile, 7))
        assert (back.belonging, back.members) == (profile.belonging, profile.members)
        assert codec.plan_of(codec.encode(profile, 7)) == profile.plan


def test_who_has_nothing_to_do_with_accounts_has_no_bytes_for_them() -> None:
    profile = Profile()
    before = len(codec.encode(profile, 7))
    profile.belonging = Belonging()
    assert len(codec.encode(profile, 7)) == before + 6
    assert codec.decode(codec.encode(Profile(), 7)).belonging is None


def test_many_users_are_in_parts() -> None:
    account = Profile()
    account.members = Members()
    for number in range(5_000):
        account.members.join(f"prf_{number:024x}", 1)
        account.members.said(f"prf_{number:024x}", {"c": number % 3 == 0})
    data, parts = codec.encode_in_parts(account, 7)
    assert len(data) < 1_000
    back = codec.decode(data, lambda names: [parts[name] for name in names])
    assert back.members == account.members
    assert codec.decode(data).members is None, "without its parts it is not looked at"
    account.members.said(f"prf_{2_500:024x}", {"c": True})
    _, after = codec.encode_in_parts(account, 7)
    assert len(after.keys() - parts.keys()) == 1, "one user is one part"
