"""After a change of definitions, each profile is evaluated anew; the profiles themselves say which still have to be.

A change is one record in each partition's log and takes effect there. What it changes for people of whom nothing is
heard must not wait for their next event: their profiles are found in the store, a slice at a time beside the live work,
and a record in the partition's own log has each evaluated by the new definitions. Old cells go with that.
"""

from __future__ import annotations

from itertools import islice

from app.profiles import codec
from app.stream.store import PartitionStore

SLICE_PROFILES = 2_000
"""Looked at in one go, which holds the event loop."""
BACKLOG_RECORDS_MAX = 2_000
"""Beyond it live work comes first."""


class Sweep:
    """One partition's way through its profiles, once for each plan."""

    def __init__(self) -> None:
        self._version = 0
        self._wait_for = 0
        self._next = b""
        self._done = False

    def stale(self, store: PartitionStore, version: int, *, read_next: int, done_next: int) -> list[bytes]:
        """Profiles of the next slice that another plan evaluated last; empty when there are none, or none for now.

        Args:
            version: Of the plan by which the partition's next record will be evaluated.
            read_next: Behind the newest record that the partition's lane has been given.
            done_next: Behind the newest record that is applied and in the store.
        """
        if version != self._version:
            # What was computed by the old plan has to be in the store before it is searched.
            self._version, self._wait_for = version, read_next
            self._next, self._done = b"", False
        if self._done or done_next < self._wait_for or read_next - done_next > BACKLOG_RECORDS_MAX:
            return []
        held = list(islice(store.profiles(self._next), SLICE_PROFILES))
        stale = [profile for profile, data in held if not codec.is_erased(data) and codec.plan_of(data) != version]
        self._done = len(held) < SLICE_PROFILES
        self._next = held[-1][0] + b"\0" if held else b""
        return stale
