"""Timers fire up to a moment only once every event that was received before it has been applied."""

from __future__ import annotations

from app.stages.timers import SourceProgress, TimerGate


def source(end: int, done_next: int, done_at_ms: int = 0) -> SourceProgress:
    return SourceProgress(end, done_next, done_at_ms)


def test_nothing_fires_before_the_log_was_asked() -> None:
    assert TimerGate(0).until_ms(1_000_000) == 0


def test_sources_that_are_through_let_time_pass_to_the_moment_of_asking() -> None:
    gate = TimerGate(grace_ms=100)
    gate.found([source(5, 5), source(0, 0)], asked_at_ms=1_000, links_end=0)
    gate.decided(0, end=7)
    assert gate.waiting
    assert gate.until_ms(6) == 0
    assert gate.until_ms(7) == 900
    assert not gate.waiting


def test_a_source_that_lags_holds_time_at_its_last_record() -> None:
    gate = TimerGate(0)
    gate.found([source(5, 5), source(9, 8, done_at_ms=400)], asked_at_ms=1_000, links_end=0)
    gate.decided(0, end=0)
    assert gate.until_ms(0) == 400


def test_a_source_of_which_nothing_is_known_holds_time_still() -> None:
    gate = TimerGate(0)
    gate.found([source(9, 0)], asked_at_ms=1_000, links_end=0)
    assert not gate.waiting
    gate.decided(0, end=0)
    assert gate.until_ms(0) == 0


def test_time_never_goes_back() -> None:
    gate = TimerGate(0)
    gate.found([source(1, 1)], asked_at_ms=1_000, links_end=0)
    gate.decided(0, end=3)
    assert gate.until_ms(3) == 1_000
    gate.found([source(2, 1, done_at_ms=900)], asked_at_ms=2_000, links_end=0)
    gate.decided(0, end=3)
    assert gate.until_ms(3) == 1_000


def test_while_one_moment_is_waited_for_no_other_takes_its_place() -> None:
    gate = TimerGate(0)
    gate.found([], asked_at_ms=1_000, links_end=0)
    gate.decided(0, end=3)
    gate.found([], asked_at_ms=2_000, links_end=0)
    gate.decided(0, end=9)
    assert gate.until_ms(3) == 1_000


def test_what_link_has_not_decided_holds_time_until_it_has_and_that_is_applied() -> None:
    gate = TimerGate(0)
    gate.found([source(5, 5)], asked_at_ms=1_000, links_end=4)
    assert gate.waiting
    assert not gate.awaits_end(3)
    gate.decided(3, end=7)
    assert gate.until_ms(7) == 0
    gate.found([source(6, 6)], asked_at_ms=2_000, links_end=9)  # the moment that is waited for stays
    assert gate.awaits_end(4)
    gate.decided(4, end=8)
    assert gate.until_ms(7) == 0
    assert gate.until_ms(8) == 1_000
    assert not gate.waiting
