"""Whether this process may still write: a worker that slept past its session has been replaced without knowing it."""

from __future__ import annotations

from collections.abc import Callable

from app.errors import StateError, StateErrorReason


class Fence:
    """Asked before outputs, changelog and store of each batch.

    Args:
        age_s: Seconds since the group's coordinator last took this member for alive.
        session_s: The group's session timeout: when it has passed, another member may own the partitions.
    """

    def __init__(self, age_s: Callable[[], float], session_s: float) -> None:
        self._age_s = age_s
        self._session_s = session_s

    def check(self, partition: int) -> None:
        """Raise `StateError(FENCED)` when the session may have run out."""
        age_s = self._age_s()
        if age_s >= self._session_s:
            raise StateError(
                partition,
                StateErrorReason.FENCED,
                f"the last good heartbeat is {age_s:.1f} s old, the session lasts {self._session_s:.0f} s; "
                "the partition has another owner by now, and this process ends",
            )
