"""What the watchdog is told of a destination: what something should be happening to, and whether something is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.clock import Clock
from app.delivery.lane import Lane
from app.delivery.sender import Sender
from app.observability.watchdog import Watchdog

TIMEOUTS_MIN = 2.0
"""A stall is at least so many of the destination's request time-outs: within one, a vendor may just be slow."""


class Watched(Protocol):
    """What is looked at once a second."""

    watchdog: Watchdog

    def beat(self) -> None: ...


class Watch:
    """One destination's watchdog; a stuck one must be found also while the others go on.

    Args:
        waiting: Records of the destination that its lane has not taken yet.
        act: What a stall causes, see `Watchdog`.
    """

    def __init__(
        self,
        name: str,
        lane: Lane,
        sender: Sender,
        waiting: Callable[[], int],
        clock: Clock,
        *,
        stalled_after_s: float,
        timeout_s: float,
        act: Callable[[str], None] | None = None,
    ) -> None:
        self._sender = sender
        self._lane = lane
        self._waiting = waiting
        self.lag = 0
        """Records that something should be happening to, as of the last beat."""
        self._progress = 0
        self.watchdog = Watchdog(
            lambda: self.lag,
            lambda: self._progress,
            clock,
            stalled_after_s=max(stalled_after_s, TIMEOUTS_MIN * timeout_s),
            act=act,
            name=name,
        )

    def beat(self) -> None:
        """The event loop turns; called from it about once a second. The watchdog's thread sees numbers only."""
        self.lag = self._sender.overdue(self._waiting())
        self._progress = self._lane.answered
        self.watchdog.beat()
