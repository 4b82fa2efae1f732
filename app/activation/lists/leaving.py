"""Whether some profiles are off a destination's lists, read out of its changelog: for the receipt of who was erased.

A profile that leaves takes the entries with it that it stood for; which those were is in the changelog until it is
compacted, and what is left of them is there for as long as there is something left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.activation.lists.overview import Ledger
from app.activation.lists.run import due_ms
from app.activation.lists.state import PROFILE, Entry, KeptList, through_of


class Left(StrEnum):
    """How far a list is with whom profiles stood for; the worst of several members counts."""

    REMOVED = "removed"
    """The vendor has taken it off, or never had it."""
    ANOTHERS = "anothers"
    """It stays: another profile that is in the audience stands for the same member."""
    WAITING = "waiting"
    """It comes off with the list's next update."""
    REFUSED = "refused"
    """The vendor does not let go."""
    STAYS = "stays"
    """Nothing is taken off this list: it is only ever added to, or is no longer connected."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """What has become of profiles on one list."""

    audience: str
    """The list's, its key."""
    left: Left
    due_ms: int | None
    """When the list's next update is due, where it waits for that."""


class Departures:
    """A destination's changelog, as far as it has been read.

    Args:
        profiles: Of whom it is asked.
    """

    def __init__(self, profiles: Collection[str]) -> None:
        self._profiles = frozenset(profiles)
        self._ledger = Ledger()
        self._stood_for: dict[bytes, set[bytes]] = {}
        """List → entries."""

    def take(self, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """More of it, in order."""
        several = list(records)
        self._ledger.take(several)
        for key, value in several:
            if key is not None and value is not None and key.startswith(PROFILE):
                list_, _, profile = key[len(PROFILE) :].partition(b"|")
                if profile.decode() in self._profiles:
                    self._stood_for.setdefault(list_, set()).update(through_of(value).entries)

    def found(
        self, intervals_s: Mapping[str, float], first_wait_s: float, now_ms: int, *, additive_only: bool
    ) -> list[Leaving]:
        """Every list that one of the profiles was on, by its audience.

        Args:
            intervals_s: Audience → seconds between two updates; of those that are connected.
            additive_only: Whether the destination's lists are only ever added to.
        """
        found: list[Leaving] = []
        for list_, ids in self._stood_for.items():
            kept = self._ledger.lists.get(list_)
            if kept is None or not ids:
                continue
            is_served = kept.audience in intervals_s and not additive_only
            left = max((self._left(list_, id_, is_served) for id_ in ids), key=list(Left).index)
            due = _due_ms(kept, intervals_s, first_wait_s, now_ms) if left is Left.WAITING else None
            found.append(Leaving(kept.audience, left, due))
        return sorted(found, key=lambda each: each.audience)

    def _left(self, list_: bytes, id_: bytes, is_served: bool) -> Left:
        entry = self._ledger.entry(list_, id_)
        if entry is None:
            return Left.REMOVED
        if self._is_anothers(entry):
            return Left.ANOTHERS
        if not is_served:
            return Left.STAYS
        return Left.REFUSED if entry.refused and not entry.by else Left.WAITING

    def _is_anothers(self, entry: Entry) -> bool:
        return not self._profiles.issuperset(entry.by)


def _due_ms(kept: KeptList, intervals_s: Mapping[str, float], first_wait_s: float, now_ms: int) -> int:
    return max(now_ms, due_ms(kept, int(intervals_s[kept.audience] * 1000), int(first_wait_s * 1000)))
