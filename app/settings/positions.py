"""Where in the file each value of a configuration stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.errors import Fault
from app.settings.document import Scalar

DocPath = tuple[str | int, ...]
"""As in ("destinations", 0, "name")."""


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column in the file, from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Positions:
    """The places of one file's values, by their path in the document."""

    file: str
    text: str = field(repr=False)
    values: Mapping[DocPath, Place]
    keys: Mapping[DocPath, Place]
    """Of the key that leads to a value; list items have none."""
    scalars: Mapping[DocPath, Scalar] = field(repr=False)
    kept: Mapping[DocPath, tuple[int, ...]]
    """List → for each item that was kept, its place in the file's list (items with faults were dropped)."""

    def original(self, path: DocPath) -> DocPath:
        """The path in the file of a path in the settings, where items with faults may be missing."""
        found: DocPath = ()
        for part in path:
            kept = self.kept.get(found)
            found = (*found, kept[part] if kept is not None and isinstance(part, int) and part < len(kept) else part)
        return found

    def of(self, path: DocPath) -> Place:
        """The value's place, or that of the nearest value around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.values:
                return self.values[path[:length]]
        return Place(1, 1)

    def of_key(self, path: DocPath) -> Place:
        """The place of the key that leads to the value."""
        return self.keys.get(path) or self.of(path)

    def fault(self, path: DocPath, message: str) -> Fault:
        """A fault at a value."""
        return self._fault(self.of(path), path, message)

    def key_fault(self, path: DocPath, message: str) -> Fault:
        """A fault at the key that leads to a value."""
        return self._fault(self.of_key(path), path, message)

    def fault_within(self, path: DocPath, line: int, column: int, message: str) -> Fault:
        """A fault at a place inside a text value; `line` and `column` count from 1 within the value."""
        return self._fault(self.within(path, line, column), path, message)

    def within(self, path: DocPath, line: int, column: int) -> Place:
        """Where in the file a place inside a text value stands, whatever quotes or block style the value has."""
        scalar = self.scalars.get(path)
        if scalar is None or not scalar.end or "${" in scalar.text:
            return self.of(path)
        lines = scalar.text.split("\n")
        if line > len(lines) or column > len(lines[line - 1]) + 1:
            return self.of(path)
        index = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
        at = _source_index(self.text, scalar, index)
        if at is None:
            return self.of(path)
        return Place(self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at))

    def _fault(self, place: Place, path: DocPath, message: str) -> Fault:
        return Fault(self.file, place.line, place.column, ".".join(map(str, path)), message)


def _source_index(text: str, scalar: Scalar, wanted: int) -> int | None:
    """Walk value and source side by side up to the value's character `wanted`; None where they do not match.

    White space may differ (folding, indentation); every other character stands in the source in the value's order.
    """
    at = text.index("\n", scalar.start) + 1 if scalar.style in ("|", ">") else scalar.start + len(scalar.style)
    for index, character in enumerate(scalar.text):
        if not character.isspace():
            at = _skip_space(text, at, scalar)
        if index == wanted:
            return at
        step = _width(text, at, character, scalar.style)
        if step == 0 and not character.isspace():
            return None
        at += step
    return at if wanted == len(scalar.text) else None


def _skip_space(text: str, at: int, scalar: Scalar) -> int:
    while at < scalar.end:
        if text[at].isspace():
            at += 1
        elif scalar.style == '"' and text.startswith("\\\n", at):
            at += 2
        else:
            break
    return at


def _width(text: str, at: int, character: str, style: str) -> int:
    """How many source characters stand for one of the value; 0 where they do not fit."""
    source = text[at : at + 1]
    if style == '"' and source == "\\":
        return {"x": 4, "u": 6, "U": 10}.get(text[at + 1 : at + 2], 2)
    if source != character and not (source.isspace() and character.isspace()):
        return 0
    return 2 if style == "'" and character == "'" else 1
