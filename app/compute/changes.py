"""What leaves compute: facts about a profile that have become so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from app.definitions.model import Kind
from app.topics import Collection

Origin = Literal["live", "backfill", "resync", "merge", "identifier", "erasure", "split"]


class Change(msgspec.Struct, frozen=True):
    """One definition's answer for one profile is another than it was.

    A struct, because there is one or more for each event: made in a fifth of a frozen dataclass's time.
    """

    id: str
    """The message id: the same at every repeat."""
    profile: str
    key: str
    kind: Kind
    definition_id: str
    value: Any
    """True for entered, False for exited; a trait's new value, None when it has become null."""
    previous: Any
    """What was last emitted: False or the trait's value; None where there was none."""
    at_ms: int
    """When it became so: the record's time, or the instant at which time alone did it."""
    sequence: int
    """Rises by one with each change of the profile."""
    identifiers: tuple[tuple[str, str], ...]
    """(type, value), of the whole profile, in order of first sight."""
    traits: Mapping[str, Sequence[Any]]
    """The profile's custom traits at that moment, each with its value first; not to be changed."""
    computed: Mapping[str, Any]
    """Emitted values by definition key at that moment; not to be kept or changed."""
    origin: Origin = "live"
    told: tuple[tuple[str, str], ...] | None = None
    """Where the value is none that is new: the identifiers that have been told of it, so that only others are."""
    collection: Collection = "users"
    """What the profile is of."""
    account: str = ""
    """Of a user, where the definition is one of accounts: the account that has told it. Empty for the user's own."""
    absorbed: Sequence[str] = ()
    """The profiles that are part of this one: what was said of them is said of it now."""

    def custom_trait(self, key: str) -> Any:
        """The value of a custom trait at that moment; None where there was none."""
        held = self.traits.get(key)
        return held[0] if held is not None else None
