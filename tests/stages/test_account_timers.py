"""The timers of accounts come once time has passed for all users, and what that did is applied."""

from __future__ import annotations

from app.stages.account_timers import AccountGate


def test_nothing_fires_before_the_users_were_asked() -> None:
    assert AccountGate().until_ms(1_000_000) == 0


def test_the_partition_of_users_that_is_furthest_back_decides() -> None:
    gate = AccountGate()
    gate.found([900, 700, 800], end=0)
    assert gate.until_ms(0) == 700


def test_what_users_have_passed_on_by_then_is_applied_first() -> None:
    gate = AccountGate()
    gate.found([700], end=5)
    assert gate.waiting
    assert gate.until_ms(4) == 0
    assert gate.until_ms(5) == 700
    assert not gate.waiting


def test_while_one_moment_is_waited_for_no_other_takes_its_place() -> None:
    gate = AccountGate()
    gate.found([700], end=5)
    gate.found([900], end=9)
    assert gate.until_ms(5) == 700


def test_time_never_goes_back_when_a_partition_changes_hands() -> None:
    gate = AccountGate()
    gate.found([700, 700], end=0)
    assert gate.until_ms(0) == 700
    gate.found([700, 0], end=0)
    assert not gate.waiting
    assert gate.until_ms(9) == 700


def test_a_partition_of_which_nobody_knows_holds_time_still() -> None:
    gate = AccountGate()
    gate.found([700, 0], end=0)
    assert not gate.waiting
    assert gate.until_ms(9) == 0
