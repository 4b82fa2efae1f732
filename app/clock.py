"""The only reader of the wall clock, so that tests and simulations can have time pass as they like."""

import time
from typing import Protocol

from app.ids import TimeMs


class Clock(Protocol):
    """What time it is."""

    def now_ms(self) -> TimeMs:
        """Wall-clock time; may step backwards."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> TimeMs:
        return TimeMs(time.time_ns() // 1_000_000)

    def monotonic_s(self) -> float:
        return time.monotonic()
