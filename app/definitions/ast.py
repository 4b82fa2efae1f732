"""The typed tree of a definition's text. The parser makes it; the checker and the compiler read it.

Every node has `at`, its place in the text; it takes no part in comparisons, so equal expressions are equal nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SECOND_MS = 1_000
DAY_MS = 86_400 * SECOND_MS


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column in the definition's text, from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | bool | int | float
    is_date: bool = False
    """Written without quotes as a date; the value is its text, because `=` compares dates as texts."""
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Trait:
    """`trait('key')`: an audience, else a computed trait, else the custom trait at that path."""

    key: str
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Property:
    path: str
    of_parent: bool = False
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Context:
    path: str
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Where:
    condition: Condition
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Within:
    duration_ms: int
    of_parent: bool = False
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Between:
    near_ms: int
    far_ms: int
    """Always greater than `near_ms`, in whatever order they were written."""
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ExpiresAfter:
    duration_ms: int
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Sources:
    exclude: tuple[str, ...]
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Reducer:
    name: str
    """count, sum, avg, min, max, mode, first, last, unique, or unique_count for `unique(p).count()`."""
    path: str | None = None
    as_type: str | None = None
    minimum: int | None = None
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Chain:
    event: str
    filters: tuple[Filter, ...]
    reducer: Reducer
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    left: Scalar
    comparator: str
    """equals, differs, greater_than, at_least, less_than, at_most, absent, exists, contains, omits, starts_with,
    ends_with, one_of, none_of, before_date or after_date; operators have become their comparator."""
    arguments: tuple[Scalar, ...]
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class DateComparison:
    """A date compared with the present: within_last, before_last, within_next or after_next."""

    left: Scalar
    comparator: str
    duration_ms: int
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class And:
    conditions: tuple[Condition, ...]
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Or:
    conditions: tuple[Condition, ...]
    at: Place = field(default=Place(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Quantified:
    quantifier: str
    """ANY, ALL or NONE."""
    condition: Condition
    at: Place = field(default=Place(), compare=False, repr=False)


Filter = Where | Within | Between | ExpiresAfter | Sources
Scalar = Literal | Trait | Property | Context | Chain
Condition = Comparison | DateComparison | Not | And | Or | Quantified
Body = Condition | Chain
"""An audience is a condition, a trait is a chain."""
