"""Definitions, and the catalogue of them that one control record carries through the log."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from app.ids import definition_id

Kind = Literal["audience", "trait"]
IdChoice = Literal["first", "last", "all"]
Scope = Literal["USERS", "ACCOUNTS"]


@dataclass(frozen=True, slots=True)
class Definition:
    """An audience or a computed trait, as its author wrote it."""

    key: str
    kind: Kind
    query: str
    scope: Scope = "USERS"
    name: str = ""
    historical: bool = True
    include_anonymous_users: bool = False

    @property
    def id(self) -> str:
        """`aud_…` or `tra_…`."""
        return definition_id(self.kind, self.key)

    @property
    def version(self) -> str:
        """Eight hexadecimal digits that change with anything that can change an answer."""
        text = f"{self.query}|{self.scope}|{self.include_anonymous_users}"
        return sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Subscription:
    """One definition's changes to one destination."""

    definition: str
    """Its key."""
    kind: Kind
    destination: str
    """The destination's name."""
    calls: tuple[str, ...] = ("identify",)
    """identify, track; several for several messages per change."""
    event_names: tuple[tuple[str, str], ...] = ()
    """Pairs of (entered, exited or computed) and the event's name."""
    traits: tuple[str, ...] = ()
    """Keys of custom or computed traits that go along (enrichment)."""
    mapping: tuple[tuple[str, str], ...] = ()
    """Pairs of (our key, the vendor's)."""
    ids: tuple[tuple[str, IdChoice], ...] = ()
    """Pairs of (identifier type, which of its values go out); all of those that are not named, and all with exits."""
    resend_on_new_identifier: bool = True
    """Whether an identifier that is new to a profile is told of the values that the profile has already."""
    lists: bool = False
    """Whether the destination keeps lists. Its topic has one partition then."""
    historical: bool = True
    """Whether what there is when the connection is made goes out, too."""

    @property
    def definition_id(self) -> str:
        """`aud_…` or `tra_…`."""
        return definition_id(self.kind, self.definition)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that decides what an event does: it takes effect at one point of each partition's log. No secrets."""

    definitions: tuple[Definition, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    destination_types: tuple[tuple[str, str], ...] = ()
    """Pairs of (destination name, type)."""
    space: str = "spa_demo"
