"""What we hold a vendor to have, beside what it shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.activation.lists.state import Entry, Has

KEYS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Drift:
    """How the ledger and a vendor's list differ."""

    held: int
    """Members that the vendor has by the ledger."""
    shown: int
    """Members that it shows."""
    missing: int
    """Held, and not shown: taken off there by others, or never taken."""
    others: int
    """Shown, and never put on from here."""
    sample: tuple[str, ...]
    """Keys of some that are missing."""


def drift(entries: Iterable[Entry], shown: frozenset[str]) -> Drift:
    """Compare; of an entry that is in doubt either answer is right."""
    held: set[str] = set()
    ours: set[str] = set()
    for entry in entries:
        ours.add(entry.key)
        if entry.has is Has.YES:
            held.add(entry.key)
    missing = held - shown
    return Drift(len(held), len(shown), len(missing), len(shown - ours), tuple(sorted(missing)[:KEYS_SHOWN]))
