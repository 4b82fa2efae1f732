"""A profile: everything that definitions, payloads and timers need of one person."""

from __future__ import annotations

from typing import Any

from app.profiles.belonging import Belonging
from app.profiles.history import History
from app.profiles.members import Members
from app.profiles.merging import Merging

Cell = Any
"""What one cell holds; its shape is in `app.profiles.cells`, by kind."""


class Profile:
    """One profile, mutable: it lives in a partition's cache and is encoded once per batch.

    Attributes:
        w: Offset in `profiles.in` of the last record applied; -1 before the first.
        armed_due: When time alone can next change an answer, ms since 1970; 0 for never. May be early, never late.
        clock: The newest instant that this profile has reached, ms; time never goes back for a profile.
        sequence: How many changes it has emitted.
        identifiers: (type, value), in order of first sight.
        traits: Custom trait → [value, time of its last writer in ms, order of that one's arrival].
        cells: Cell id → what the cell remembers.
        plan: The version of the plan that last evaluated it as a whole; 0 before the first.
        indexed_due: The due time under which the timer index has it. Not encoded: it equals `armed_due` at rest.
        merging: What it remembers of merges; None for nothing, as nearly always.
        parts: Names of the parts that the store holds for it (`app.profiles.parts`); not encoded by itself.
        erased: Whether it was erased: then it has nothing but `w`, and `armed_due`, when this too is forgotten.
        emitted: Definition key → the value last emitted; an audience that is not in it is False, a trait absent. Under
            keys that no definition can have, what a user's accounts have told it, and what it has told them.
        belonging: Of a user: what it remembers of accounts, and for them; None for nothing.
        members: Of an account: its users; None for none.
        history: Of an account: what it was, as far as that is asked; None for nothing.
    """

    __slots__ = (
        "armed_due", "belonging", "cells", "clock", "emitted", "erased", "history", "identifiers", "indexed_due",
        "members", "merging", "parts", "plan", "sequence", "traits", "w",
    )  # fmt: skip

    def __init__(self) -> None:
        self.w = -1
        self.armed_due = 0
        self.clock = 0
        self.sequence = 0
        self.plan = 0
        self.indexed_due = 0
        self.merging: Merging | None = None
        self.belonging: Belonging | None = None
        self.members: Members | None = None
        self.history: History | None = None
        self.parts: frozenset[bytes] = frozenset()
        self.erased = False
        self.identifiers: list[tuple[str, str]] = []
        self.traits: dict[str, list[Any]] = {}
        self.cells: dict[str, Cell] = {}
        self.emitted: dict[str, Any] = {}


def is_later(written: list[Any], other: list[Any]) -> bool:
    """Whether a custom trait was written after another: by event time, then by arrival."""
    return (written[1], written[2]) > (other[1], other[2])
