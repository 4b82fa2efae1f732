"""Whether a vendor is down: then its lane asks with one probe at a time instead of with everything."""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

SLICES = 30


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """It opens at `failures_share` of `requests_min` or more within the window, or at so many failures in a row."""

    failures_share: float = 0.7
    requests_min: int = 10
    in_a_row: int = 10
    window_s: float = 300.0
    open_s: float = 30.0
    """How long nothing is sent before the first probe, and between probes."""


class BreakerState(Enum):
    """Closed lets everything through, half-open one request, open nothing."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Breaker:
    """Counts in slices of the window, so its memory does not grow with the rate. Times are monotonic seconds."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._slice_s = settings.window_s / SLICES
        self._slices: deque[list[int]] = deque()
        """[slice number, requests, failures], oldest first; at most SLICES + 1."""
        self._row = 0
        self.opens_s: float | None = None
        """When the next probe may go; None while closed."""

    def state(self, now_s: float) -> BreakerState:
        if self.opens_s is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if now_s >= self.opens_s else BreakerState.OPEN

    def record(self, *, failed: bool, probe: bool, now_s: float) -> None:
        """What one request came to. While open, only probes count: the rest were sent before it opened."""
        if self.opens_s is not None:
            if probe:
                self._after_probe(failed=failed, now_s=now_s)
            return
        self._row = self._row + 1 if failed else 0
        number = int(now_s / self._slice_s)
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append([number, 0, 0])
        while self._slices[0][0] <= number - SLICES:
            self._slices.popleft()
        self._slices[-1][1] += 1
        self._slices[-1][2] += failed
        if failed and self._trips():
            self.opens_s = now_s + self._settings.open_s

    def _trips(self) -> bool:
        requests = sum(counted[1] for counted in self._slices)
        failures = sum(counted[2] for counted in self._slices)
        share = self._settings.failures_share * requests
        return self._row >= self._settings.in_a_row or (requests >= self._settings.requests_min and failures >= share)

    def _after_probe(self, *, failed: bool, now_s: float) -> None:
        if failed:
            self.opens_s = now_s + self._settings.open_s
            return
        self.opens_s = None
        self._row = 0
        self._slices.clear()
