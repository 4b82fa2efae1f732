"""An event loop whose time jumps to the next timer when nothing else is left to do: an hour takes no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from math import ceil
from typing import Any, TypeVar

from app.ids import TimeMs

T = TypeVar("T")
STEP_S = 1e-6
"""What one round of the loop takes: time never stands still, or a timer that rounds too short would spin for ever."""
EPOCH_MS = 1_769_853_600_000


class _Selector(selectors.DefaultSelector):
    loop: JumpingLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everything waits and nothing is left that could happen")
            self.loop.jumped_s += ceil(timeout * 1000) / 1000  # as epoll does
        self.loop.jumped_s += STEP_S
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """For code without sockets."""

    def __init__(self) -> None:
        self.jumped_s = 1_000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.jumped_s


class LoopClock:
    """The running loop's time as a `Clock`."""

    def now_ms(self) -> TimeMs:
        return TimeMs(EPOCH_MS + int(asyncio.get_running_loop().time() * 1000))

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()


def run_jumping(main: Coroutine[Any, Any, T]) -> T:
    """Run to its end on a jumping loop."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)
