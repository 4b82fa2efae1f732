"""A process that has work and makes no progress is ended, one that is idle or moving is not."""

import asyncio
import subprocess
import sys
import threading

from app.ids import TimeMs
from app.observability.watchdog import EXIT_STALLED, Watchdog, stacks


class ManualClock:
    def __init__(self) -> None:
        self.s = 1_000.0

    def now_ms(self) -> TimeMs:
        return TimeMs(int(self.s * 1_000))

    def monotonic_s(self) -> float:
        return self.s


class Process:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.lag = 0
        self.commits = 0
        self.ends: list[str] = []
        self.watchdog = Watchdog(
            lambda: self.lag, lambda: self.commits, self.clock, stalled_after_s=60.0, act=self.ends.append
        )

    def pass_s(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.s += 1
            self.watchdog.check()


def test_lag_without_a_commit_for_a_minute_is_a_stall() -> None:
    process = Process()
    process.pass_s(100)
    process.lag = 5
    process.pass_s(59)
    assert not process.ends
    assert process.watchdog.stalled_s == 59
    process.pass_s(1)
    assert process.ends == ["lag of 5 records and no commit for 60 s"]


def test_commits_keep_it_alive_whatever_the_lag() -> None:
    process = Process()
    process.lag = 1_000_000
    for _ in range(10):
        process.pass_s(50)
        process.commits += 1
    assert not process.ends


def test_no_lag_is_no_stall() -> None:
    process = Process()
    process.lag = 1
    process.pass_s(50)
    process.lag = 0
    process.pass_s(1)
    process.lag = 1
    process.pass_s(50)
    assert not process.ends


def test_a_loop_that_stands_still_is_a_stall_even_without_lag() -> None:
    process = Process()
    process.pass_s(100)
    assert not process.ends
    process.watchdog.beat()
    process.pass_s(60)
    assert process.ends == ["the event loop has stood still for 60 s"]


def test_it_looks_by_itself_from_a_thread() -> None:
    clock, stalled = ManualClock(), threading.Event()
    watchdog = Watchdog(lambda: 1, lambda: 0, clock, act=lambda _: stalled.set())
    clock.s += 61
    watchdog.start(interval_s=0.001)
    try:
        assert stalled.wait(10)
    finally:
        watchdog.stop()


def test_a_watchdog_that_fails_says_so_and_does_not_just_go_away() -> None:
    reasons: list[str] = []
    ended = threading.Event()

    def act(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    def broken() -> int:
        raise RuntimeError("planted")

    watchdog = Watchdog(broken, lambda: 0, ManualClock(), act=act)
    watchdog.start(interval_s=0.001)
    try:
        assert ended.wait(10)
    finally:
        watchdog.stop()
    assert reasons == ["the watchdog itself has failed: RuntimeError('planted')"]


async def test_the_stacks_name_threads_and_tasks() -> None:
    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(waits_for_ever(), name="the culprit")
    await asyncio.sleep(0)
    try:
        text = stacks(asyncio.get_running_loop())
        assert "thread MainThread" in text
        assert "task the culprit" in text
        assert "waits_for_ever" in text
    finally:
        task.cancel()


def test_a_stalled_process_exits_non_zero_with_every_stack_in_its_log() -> None:
    program = """
import threading
from app.clock import SystemClock
from app.observability import logs
from app.observability.watchdog import Watchdog
logs.configure("stream-0")
def stuck_here():
    threading.Event().wait()
Watchdog(lambda: 7, lambda: 0, SystemClock(), stalled_after_s=0.05).start(interval_s=0.01)
stuck_here()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EXIT_STALLED
    assert "stuck_here" in done.stderr
    assert "lag of 7 records" in done.stderr
