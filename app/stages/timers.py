"""Until when timers may fire: never past an event that was received but is not yet applied.

An outage would otherwise let everybody's windows run out before their waiting events are read. So time is asked of the
log: at some moment every record of `events.raw` that was there has been passed on, straight to `profiles.in` or to
`identity.links`, which ends at some offset; once `link` has decided what was before that, `profiles.in` ends at some
offset; once a partition has applied what was before that one, its timers may fire up to that moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """How far one partition of `events.raw` has been passed on."""

    end: int
    """The offset behind its newest record, at the moment of asking."""
    done_next: int
    """The offset behind the newest record that was passed on and acknowledged."""
    done_at_ms: int
    """When that record was received; 0 where it is not known."""


class TimerGate:
    """Until when one partition's timers may fire.

    A moment takes two answers, `found` and, as soon as `link` is far enough, `decided`; it is waited for until the
    partition has applied what had come by then.

    Args:
        grace_ms: How much the broker's clock may be behind this machine's.
    """

    def __init__(self, grace_ms: int) -> None:
        self._grace_ms = grace_ms
        self._links_end: int | None = None
        self._wait_for: int | None = None
        self._then_ms = 0
        self._until_ms = 0

    @property
    def waiting(self) -> bool:
        """Whether the last moment that was found is still waited for."""
        return self._links_end is not None or self._wait_for is not None

    def found(self, sources: Iterable[SourceProgress], asked_at_ms: int, links_end: int) -> None:
        """How far the sources were at a moment, and where `identity.links` ended after it.

        Args:
            asked_at_ms: Taken before the sources were asked.
            links_end: The offset behind its newest record, asked after the sources; 0 where there is no `link`.
        """
        if self.waiting:
            return
        until_ms = asked_at_ms - self._grace_ms
        for source in sources:
            if source.done_next < source.end:
                # It lags: only what was received up to the last record passed on is known to be there.
                until_ms = min(until_ms, source.done_at_ms)
        if until_ms > self._until_ms:
            self._links_end, self._then_ms = links_end, until_ms

    def awaits_end(self, links_done_next: int) -> bool:
        """Whether the end of `profiles.in` is asked for, when `link` has decided all before an offset."""
        return self._links_end is not None and links_done_next >= self._links_end

    def decided(self, links_done_next: int, end: int) -> None:
        """How far `link` has decided and sent, and where `profiles.in` ended after that.

        Args:
            end: The offset behind the partition's newest record, asked after `link`.
        """
        if self.awaits_end(links_done_next):
            self._links_end, self._wait_for = None, end

    def until_ms(self, done_next: int) -> int:
        """The instant up to which timers may fire, when all before an offset of `profiles.in` has been applied."""
        if self._wait_for is not None and done_next >= self._wait_for:
            self._wait_for, self._until_ms = None, self._then_ms
        return self._until_ms
