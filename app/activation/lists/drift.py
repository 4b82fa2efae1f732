"""What we hold a vendor to have, beside what it shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.activation.lists.state import Entry, Has


@dataclass(frozen=True, slots=True)
class Drift:
    """How the ledger and a vendor's list differ."""

    held: int
    """Members that the vendor has by the ledger."""
    shown: int
    """Members that it shows."""
    others: int
    """Shown, and never put on from here."""
    missing: tuple[Entry, ...]
    """Held, and not shown: taken off there by others, or never taken. By key."""
    back: tuple[Entry, ...]
    """Shown, though put on from here and taken off again. By key."""

    @property
    def sound(self) -> bool:
        return not self.missing and not self.back


def drift(entries: Iterable[Entry], past: Iterable[Entry], shown: frozenset[str]) -> Drift:
    """Compare; of an entry that is in doubt either answer is right.

    Args:
        past: Those that were on the list from here, and are in the ledger no more.
    """
    ours: dict[str, Entry] = {entry.key: entry for entry in entries}
    held = {key: entry for key, entry in ours.items() if entry.has is Has.YES}
    gone = {entry.key: entry for entry in past if entry.key not in ours}
    return Drift(
        len(held),
        len(shown),
        len(shown - ours.keys() - gone.keys()),
        tuple(held[key] for key in sorted(held.keys() - shown)),
        tuple(gone[key] for key in sorted(gone.keys() & shown)),
    )
