"""What is said of a split, before and after. On a broker it is done in `tests/faults/test_splits.py`."""

from __future__ import annotations

import pytest

from app.cli.output import WRONG_USAGE, CommandError
from app.cli.profile import as_text as shown
from app.cli.profile import as_value as shown_value
from app.cli.profile_split import Done, Plans, Splitter, as_text, as_value, differences
from app.identity.graph import Node
from app.identity.regulations import identifier_hash
from app.profiles.belonging import Belonging
from app.profiles.state import Profile
from app.settings import Settings
from app.stages.refold import Refolded
from app.stream.lookup import Found, Known
from app.stream.refolding import LogFold

START_MS = 1_767_225_600_000
ANN, PHONE = ("user_id", "ann"), ("anonymous_id", "phone")


def plans(*, since_ms: int | None = None, kept: tuple[str, ...] = ()) -> Plans:
    folded = Refolded(Profile(), Profile(), {}, {}, 4, 2, frozenset())
    before = {"orders": 6, "buyer": True, "idle": False}
    left, taken = {"orders": 4, "buyer": True, "idle": False}, {"orders": 2, "buyer": False}
    return Plans("prf_1", PHONE, (ANN,), LogFold(folded, since_ms), before, left, taken, kept)


DONE = Done("spl_1", "prf_1", "prf_2", {"orders": 4, "buyer": True}, {"orders": 2})


def test_before_for_people() -> None:
    assert as_text(plans(since_ms=START_MS, kept=("orders",)), None).splitlines() == [
        "anonymous_id:phone leaves prf_1 and is a new profile",
        "  2 events in the log go with it, 4 stay with user_id:ann",
        "  the log reaches back to 2026-01-01T00:00:00.000Z; what came before stays with the profile",
        "  so these go on counting what anonymous_id:phone brought until then: orders",
        "  stays  orders: 6 → 4",
        "  goes   buyer: True → False",
        "  goes   orders: 6 → 2",
    ]


def test_afterwards_for_people() -> None:
    assert as_text(plans(), DONE).splitlines()[0] == "anonymous_id:phone left prf_1 and is prf_2"
    same = Done("spl_1", "prf_1", "prf_2", plans().before, plans().before)
    assert as_text(plans(), same).splitlines()[-1] == "  no answer is another than it was"


def test_for_machines() -> None:
    value = as_value(plans(since_ms=START_MS), DONE)
    assert (value["split"], value["dry_run"], value["profile"], value["into"]) == ("spl_1", False, "prf_1", "prf_2")
    assert value["identifier"] == {"type": "anonymous_id", "value": "phone"}
    assert value["events"] == {"left": 4, "taken": 2}
    assert value["log_since"] == "2026-01-01T00:00:00.000Z"
    assert value["changes"] == [
        {"profile": "prf_1", "key": "orders", "before": 6, "after": 4},
        {"profile": "prf_2", "key": "buyer", "before": True, "after": None},
        {"profile": "prf_2", "key": "orders", "before": 6, "after": 2},
    ]
    before = as_value(plans(), None)
    assert (before["split"], before["dry_run"], before["into"], before["log_since"]) == (None, True, None, None)


def test_absent_and_false_are_no_difference() -> None:
    assert differences("prf_1", {"a": False, "b": None, "c": 0}, {}) == []


@pytest.mark.parametrize(
    ("known", "code", "text"),
    [
        (None, 1, "nobody is known"),
        (Known("prf_1", None, Node(1, {ANN: 1, PHONE: 1})), WRONG_USAGE, "name the identifier"),
        (Known("prf_1", ANN, Node(1, {ANN: 1})), 1, "user_id:ann is the only identifier of prf_1"),
    ],
)
async def test_what_cannot_be_done(known: Known | None, code: int, text: str) -> None:
    splitter = Splitter(Settings(), "127.0.0.1:1", 1.0)
    with pytest.raises(CommandError, match=text) as refused:
        await splitter.plan(Found(None, "prf_1", None, known))
    assert refused.value.code == code


def test_to_which_accounts_each_belongs() -> None:
    found = plans()
    found.found.folded.left.belonging = Belonging(accounts={"acme": [0, {}], "zeta": [0, {}]})
    found.found.folded.taken.belonging = Belonging(accounts={"acme": [0, {}]})
    assert as_text(found, None).splitlines()[2:4] == ["  stays  belongs to acme, zeta", "  goes   belongs to acme"]
    assert as_value(found, None)["accounts"] == {"left": ["acme", "zeta"], "taken": ["acme"]}


async def test_an_account_is_not_split() -> None:
    with pytest.raises(CommandError, match="acme is an account") as refused:
        await Splitter(Settings(), "127.0.0.1:1", 1.0).plan(Found(None, "acme", Profile(), None, "accounts"))
    assert refused.value.code == WRONG_USAGE


def test_what_is_kept_between_users_and_accounts_is_no_answer() -> None:
    assert differences("prf_1", {"?con_1": True, "@size": 3, "a": 1}, {}) == [
        {"profile": "prf_1", "key": "a", "before": 1, "after": None}
    ]


def test_the_journal_is_shown() -> None:
    node = Node(1, {ANN: START_MS}, parted=[(PHONE[0], identifier_hash(PHONE), "prf_2", START_MS + 1_000, "spl_1")])
    found = Found(None, "prf_1", None, Known("prf_1", None, node))
    assert shown(found).splitlines()[-2:] == [
        "taken out of it",
        "  anonymous_id  prf_2 since 2026-01-01T00:00:01.000Z  by split spl_1",
    ]
    (parted,) = shown_value(found)["parted"]  # type: ignore[misc]
    assert parted["into"] == "prf_2"
    new = Found(None, "prf_2", None, Known("prf_2", None, Node(2, {PHONE: 1}, origin=("prf_1", "spl_1"))))
    assert shown(new).splitlines()[-2:] == ["taken out of", "  prf_1  by split spl_1"]
    assert shown_value(new)["origin"] == {"profile": "prf_1", "split": "spl_1"}
