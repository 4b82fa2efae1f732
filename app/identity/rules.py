"""The rules of identity as values: what identifies, what identifies nobody, how much one profile may have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from hashlib import blake2b
from typing import Literal, TypeAlias

import msgspec

Identifier: TypeAlias = tuple[str, str]
"""Type and value."""

Window: TypeAlias = Literal["ever", "week", "month", "year"]

IDENTIFYING_TYPES = frozenset({"user_id", "email", "android.idfa", "ios.idfa"})
"""A profile that has none of these is anonymous."""

DAY_MS = 86_400_000
WINDOW_MS: Mapping[Window, int] = {"week": 7 * DAY_MS, "month": 30 * DAY_MS, "year": 365 * DAY_MS}

_UNSET = re.compile(r"[0-]*")


@dataclass(frozen=True, slots=True)
class Limit:
    """How many values of a type one profile may have, of those that were added in the window."""

    values: int
    per: Window = "ever"

    @property
    def window_ms(self) -> int | None:
        """None for ever."""
        return WINDOW_MS.get(self.per)


@dataclass(frozen=True, slots=True)
class LinkRules:
    """How identifiers make profiles. In force from one record of `identity.links` on, so they can be sent as JSON."""

    limits: Mapping[str, Limit] = field(default_factory=lambda: {"user_id": Limit(1)})
    default_limit: Limit = Limit(5)
    """Of types that `limits` does not name."""
    priority: tuple[str, ...] = ("user_id", "email")
    """From the strongest; all other types follow in alphabetical order."""
    max_identifiers: int = 1_000
    max_merges: int = 100
    """Of one profile and all that it has taken in: somebody's shared value must not pull everybody together."""

    def limit(self, kind: str) -> Limit:
        return self.limits.get(kind, self.default_limit)

    def rank(self, identifier: Identifier) -> tuple[int, str]:
        """Sorts identifiers from the strongest type to the weakest; two of one type are equal."""
        kind = identifier[0]
        if kind in self.priority:
            return self.priority.index(kind), ""
        return len(self.priority), kind

    def version(self) -> str:
        """The same for equal rules: what was decided by others must not be taken for decided by these."""
        return blake2b(msgspec.json.encode(self, order="deterministic"), digest_size=4).hexdigest()


@dataclass(frozen=True, slots=True)
class Extra:
    """A value of a trait or a property that identifies, besides what every message's identifiers are."""

    type: str
    source: Literal["trait", "property"]
    path: str
    """As in definitions: `a.b`, and `$` for every element of a list."""


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """What identifies in a message. Values that careless clients send for everybody identify nobody."""

    blocked: frozenset[str] = frozenset({"-1", "null", "anonymous"})
    """In lower case, as values are compared. The empty text, and rows of zeroes and dashes, are always blocked."""
    blocked_patterns: tuple[str, ...] = ()
    """Shell patterns (`*`, `?`, `[abc]`) of whole values, case aside."""
    extra: tuple[Extra, ...] = ()
    link: LinkRules = field(default_factory=LinkRules)


class Blocked:
    """The blocked values, ready to be asked for every identifier."""

    def __init__(self, rules: IdentityRules) -> None:
        self._values = rules.blocked
        # Patterns of the shell, not regular expressions: what an author can write never takes longer than the value.
        patterns = "|".join(translate(pattern.lower()) for pattern in rules.blocked_patterns)
        self._pattern = re.compile(patterns) if patterns else None

    def holds(self, value: str) -> bool:
        """Whether a value identifies nobody."""
        # A value that begins with anything else is no row of zeroes and dashes.
        if value[:1] in "0-" and _UNSET.fullmatch(value):
            return True
        lower = value.lower()
        return lower in self._values or (self._pattern is not None and self._pattern.match(lower) is not None)
