"""Ends a process that has work and does none: lag and no commit for a minute, or an event loop that stands still.

Runs in a thread, since what it looks for may hold the loop.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Callable
from io import StringIO

from app.clock import Clock
from app.observability import logs

EXIT_STALLED = 70
"""EX_SOFTWARE: whoever runs the process starts it again."""
_STACKS_CHARACTERS_MAX = 200_000


class Watchdog:
    """Watches one process's progress.

    Args:
        lag: Records that wait, as last known. Called from another thread: it must only read.
        progress: Any number that changes with every commit. Called from another thread too.
        name: What is watched, where a process watches several things.
        stalled_after_s: Lag without a commit for so long is a stall. So is a loop that has not called `beat`.
        act: What a stall causes; told the reason. The default logs every stack and exits with 70.
    """

    def __init__(
        self,
        lag: Callable[[], int],
        progress: Callable[[], int],
        clock: Clock,
        *,
        stalled_after_s: float = 60.0,
        act: Callable[[str], None] | None = None,
        name: str = "",
    ) -> None:
        self._name = name
        self._lag = lag
        self._progress = progress
        self._clock = clock
        self._stalled_after_s = stalled_after_s
        self._act = act or self._end
        self._seen_progress = progress()
        self._moved_s = clock.monotonic_s()
        self._beaten_s: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.stalled_s = 0.0
        """For the metric: how long there has been lag without a commit."""

    def beat(self) -> None:
        """The event loop turns; called from it about once a second."""
        self._beaten_s = self._clock.monotonic_s()

    def check(self) -> None:
        """Look once."""
        now_s = self._clock.monotonic_s()
        progress = self._progress()
        if progress != self._seen_progress or self._lag() <= 0:
            self._seen_progress = progress
            self._moved_s = now_s
        self.stalled_s = now_s - self._moved_s
        if self.stalled_s >= self._stalled_after_s:
            what = f"{self._name}: " if self._name else ""
            self._act(f"{what}lag of {self._lag()} records and no commit for {self.stalled_s:.0f} s")
        elif self._beaten_s is not None and now_s - self._beaten_s >= self._stalled_after_s:
            self._act(f"the event loop has stood still for {now_s - self._beaten_s:.0f} s")

    def start(self, loop: asyncio.AbstractEventLoop | None = None, interval_s: float = 1.0) -> None:
        """Look every `interval_s` from a thread of its own; with a loop, its tasks' stacks are logged too."""
        self._loop = loop
        self._thread = threading.Thread(target=self._run, args=(interval_s,), name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _run(self, interval_s: float) -> None:
        while not self._stop.wait(interval_s):
            try:
                self.check()
            except Exception as error:
                self._act(f"the watchdog itself has failed: {error!r}")
                return

    def _end(self, reason: str) -> None:
        try:
            logs.get("watchdog").critical("stalled", reason=reason, stacks=stacks(self._loop))
            sys.stderr.flush()
        finally:
            # Not sys.exit: the main thread may never run another line, and nothing it holds back is worth waiting for.
            os._exit(EXIT_STALLED)


def stacks(loop: asyncio.AbstractEventLoop | None = None) -> str:
    """Where every thread is, and every task of the loop."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = [
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    ]
    if loop is not None:
        for task in asyncio.all_tasks(loop):
            text = StringIO()
            task.print_stack(file=text)
            parts.append(f"task {task.get_name()}:\n{text.getvalue()}")
    return "\n".join(parts)[:_STACKS_CHARACTERS_MAX]
