"""Whether a lane may send at this moment: paused, told to wait, broken, or free. Times are monotonic seconds."""

from __future__ import annotations

from enum import Enum, StrEnum, auto

from app.activation.outcome import Reason
from app.delivery.breaker import Breaker, BreakerSettings, BreakerState

PROBE_FIRST_S = 10.0
"""From a pause to its first probe; each later one waits twice as long. Some refusals pass by themselves: a permission
that has just been given, a token that another program's has replaced. Those that do not must not lock the login."""


class LaneState(StrEnum):
    """What an operator sees; a metric label."""

    RUNNING = "running"
    PAUSED = "paused"
    """Bad credentials or a refused address. Probed now and then, resumed by hand or by new settings."""
    DISABLED = "disabled"
    """The receiver is gone. Resumed by hand."""
    BRAKED = "braked"
    """Too many dead letters. Resumed by hand."""


class Permission(Enum):
    """Probe: one request, and no other until its answer is in."""

    SHUT = auto()
    PROBE = auto()
    FREE = auto()


class Gate:
    """All that can hold a whole lane back, with the clock that stands still while an operator is waited for."""

    def __init__(self, breaker: BreakerSettings, *, probe_every_s: float) -> None:
        """
        Args:
            probe_every_s: The longest wait between two probes of a paused lane.
        """
        self.state = LaneState.RUNNING
        self.reason: Reason | None = None
        self._breaker = Breaker(breaker)
        self._probe_every_s = probe_every_s
        self._probe_wait_s = 0.0
        """The last wait for one; 0 before there was any."""
        self._probe_at_s: float | None = None
        """The next probe of a stopped lane; None: only after `resume`."""
        self._probing = False
        self._hold_until_s = 0.0
        self._stopped_s: float | None = None
        self._paused_s = 0.0

    def permission(self, now_s: float) -> Permission:
        """What may be sent now."""
        if self._probing or now_s < self._hold_until_s:
            return Permission.SHUT
        if self.state is not LaneState.RUNNING:
            due = self._probe_at_s is not None and now_s >= self._probe_at_s
            return Permission.PROBE if due else Permission.SHUT
        match self._breaker.state(now_s):
            case BreakerState.CLOSED:
                return Permission.FREE
            case BreakerState.HALF_OPEN:
                return Permission.PROBE
            case BreakerState.OPEN:
                return Permission.SHUT

    def breaker(self, now_s: float) -> BreakerState:
        """Whether the vendor is taken for down."""
        return self._breaker.state(now_s)

    def wake_s(self) -> float | None:
        """The moment from which it may be open; None: some answer or an operator has to come first."""
        if self._probing:
            return None
        if self.state is not LaneState.RUNNING:
            return None if self._probe_at_s is None else max(self._probe_at_s, self._hold_until_s)
        return max(self._hold_until_s, self._breaker.opens_s or 0.0)

    def active_s(self, now_s: float) -> float:
        """A clock without the time in which the lane was stopped."""
        return (now_s if self._stopped_s is None else self._stopped_s) - self._paused_s

    def probe_sent(self) -> None:
        self._probing = True

    def probe_unsent(self) -> None:
        """The payload chosen for it turned out to make no request; another may go."""
        self._probing = False

    def answered(self, *, failed: bool, probe: bool, now_s: float) -> None:
        """The vendor took or refused a payload (its door is open), or failed."""
        if probe:
            self._probing = False
            if self.state is not LaneState.RUNNING:
                if failed:
                    self._probe_later(now_s)
                else:
                    self._run(now_s)
        self._breaker.record(failed=failed, probe=probe, now_s=now_s)

    def hold(self, until_s: float) -> None:
        """The vendor asked for nothing before then."""
        self._hold_until_s = max(self._hold_until_s, until_s)

    def stop(self, state: LaneState, reason: Reason, *, probe: bool, now_s: float) -> None:
        """Nothing more goes out but, where paused, a probe now and then."""
        if probe:
            self._probing = False
        if self._stopped_s is None:
            self._stopped_s = now_s
        if probe or self.state is LaneState.RUNNING:
            self.state = state
            self.reason = reason
            self._probe_at_s = None
            if state is LaneState.PAUSED:
                self._probe_later(now_s)

    def resume(self, now_s: float) -> None:
        """By hand: one probe at once, and everything when it goes through."""
        if self.state is LaneState.BRAKED:
            self._run(now_s)
        elif self.state is not LaneState.RUNNING:
            self._probe_at_s = now_s

    def _probe_later(self, now_s: float) -> None:
        self._probe_wait_s = min(self._probe_every_s, 2 * self._probe_wait_s or PROBE_FIRST_S)
        self._probe_at_s = now_s + self._probe_wait_s

    def _run(self, now_s: float) -> None:
        if self._stopped_s is not None:
            self._paused_s += now_s - self._stopped_s
        self._stopped_s = None
        self._probe_wait_s = 0.0
        self.state = LaneState.RUNNING
        self.reason = None
        self._probe_at_s = None
