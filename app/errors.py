"""The errors that can leave a module, by who has to act.

HeadwaterError
├ InvalidEvent(reason)             → dead letter; the event's sender fixes it
├ DefinitionError(key, line, …)    → refused before anything is created; its author fixes it
├ StateError(partition, reason)    → that partition stops; the operator fixes it, the message says how
└ SettingsError(faults)            → the process does not start; every fault at once
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class HeadwaterError(Exception):
    """What Headwater raises on purpose."""


class InvalidEventReason(StrEnum):
    """Why a record is no event; a metric label, so the list is closed."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_TYPE = "unknown_type"
    WRONG_FIELD_TYPE = "wrong_field_type"
    FIELD_MISSING = "field_missing"
    NO_IDENTIFIER = "no_identifier"


class InvalidEvent(HeadwaterError):
    """A record that is not a valid event; it goes to `events.dead` and its sender fixes it."""

    def __init__(self, reason: InvalidEventReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class DefinitionError(HeadwaterError):
    """A definition that is refused; nothing was created. `line` and `column` count from 1 within the query."""

    def __init__(self, key: str, *, line: int, column: int, found: str, expected: str, hint: str = "") -> None:
        self.key = key
        self.line = line
        self.column = column
        self.found = found
        self.expected = expected
        self.hint = hint
        super().__init__(f"{key}: line {line}, column {column}: {self.wording}")

    @property
    def wording(self) -> str:
        """What is wrong and how to mend it, without the place."""
        what = f"found {self.found}, expected {self.expected}" if self.found else self.expected
        return what + (f" ({self.hint})" if self.hint else "")


class StateErrorReason(StrEnum):
    """Why a partition cannot go on; a metric label."""

    SOURCE_RECREATED = "source_recreated"
    SOURCE_CUT = "source_cut"
    CHANGELOG_LOST = "changelog_lost"
    DIRECTORY_LOCKED = "directory_locked"
    CORRUPT = "corrupt"
    FENCED = "fenced"


class StateError(HeadwaterError):
    """A partition's state and its log do not fit; the partition stops until an operator has acted."""

    def __init__(self, partition: int, reason: StateErrorReason, message: str) -> None:
        super().__init__(f"partition {partition}: {message}")
        self.partition = partition
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a configuration."""

    file: str
    line: int
    """From 1; 0 where no line is to blame."""
    column: int
    path: str
    """Where in the document, as in `destinations.0.settings.url`."""
    message: str
    """What is wrong and how to mend it."""

    @property
    def at(self) -> str:
        """The place, as compilers write it: editors make a link of it."""
        return f"{self.file}:{self.line}:{self.column}:"

    @property
    def said(self) -> str:
        return f"{self.path + ': ' if self.path else ''}{self.message}"

    def __str__(self) -> str:
        return f"{self.at} {self.said}"


class SettingsError(HeadwaterError):
    """A configuration with faults, all of them; the process does not start and has changed nothing."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)
