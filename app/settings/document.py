"""YAML text → a tree of nodes with places.

Read from the parser's events, so that depth, aliases and tags are bounded before anything is built. Scalars are typed
by YAML 1.2's core schema: `on`, `no`, `1:30` and `2026-01-01` are text, as their authors meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

SIZE_BYTES_MAX = 1 << 20
DEPTH_MAX = 32
NODES_MAX = 100_000
"""Nodes after aliases have been followed: what an alias bomb multiplies."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_CORE_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")}


@dataclass(frozen=True, slots=True)
class Scalar:
    text: str
    line: int
    column: int
    style: str = ""
    """"" for plain, else one of ' " | >."""
    start: int = 0
    """Where its source begins and ends in the file's text, quotes or block header included."""
    end: int = 0


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Mapping:
    entries: tuple[tuple[Scalar, Node], ...]
    line: int
    column: int


Node = Scalar | Sequence | Mapping
Value = None | bool | int | float | str


class DocumentError(Exception):
    """The text is not a YAML document that can be read any further."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message


def parse(text: str) -> tuple[Node, list[DocumentError]]:
    """The document's tree, and the problems that do not keep one from reading on (keys given twice).

    Raises:
        DocumentError: broken YAML, too deep, too many nodes, a custom tag, a second document.
    """
    try:
        return _Builder(text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise DocumentError(line, column, f"not valid YAML: {what}") from None
    except yaml.reader.ReaderError as error:
        at = error.position if isinstance(error.position, int) else 0
        line = text.count("\n", 0, at) + 1
        column = at - text.rfind("\n", 0, at)
        raise DocumentError(line, column, "not valid YAML: a character that YAML does not allow") from None


def typed(text: str) -> Value:
    """What a plain scalar means."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INTEGER.fullmatch(text):
        digits = text.lower()
        return int(digits, 8) if digits.startswith("0o") else int(digits, 16) if digits.startswith("0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


class _Builder:
    def __init__(self, text: str) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=loader)
        self._anchors: dict[str, tuple[Node, int]] = {}
        """Anchor → node, and how many nodes following it costs."""
        self._nodes = 0
        self._repeats: list[DocumentError] = []

    def document(self) -> tuple[Node, list[DocumentError]]:
        root: Node = Mapping((), 1, 1)
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _error(event, "a second YAML document; a configuration is one document")
                root = self._node(next(self._events), 0)
        if isinstance(root, Scalar) and not root.style and typed(root.text) is None:
            root = Mapping((), 1, 1)
        return root, self._repeats

    def _node(self, event: yaml.Event, depth: int) -> Node:
        before = self._nodes
        if isinstance(event, yaml.AliasEvent):
            node, cost = self._alias(event)
            self._count(event, cost)
            return node
        self._count(event, 1)
        if depth > DEPTH_MAX:
            raise _error(event, f"nested more than {DEPTH_MAX} deep")
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if event.tag is not None and event.tag not in _CORE_TAGS and event.tag != "!":
            raise _error(event, "a custom tag; only YAML's plain values are read")
        anchor: str | None = event.anchor
        node = self._content(event, depth)
        if anchor is not None:
            self._anchors[anchor] = (node, self._nodes - before)
        return node

    def _content(self, event: yaml.Event, depth: int) -> Node:
        line, column = _place(event)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
            return Sequence(tuple(items), line, column)
        return Mapping(tuple(self._entries(depth)), line, column)

    def _entries(self, depth: int) -> Iterator[tuple[Scalar, Node]]:
        seen: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise _error(event, "a key that is no text")
            value = self._node(next(self._events), depth + 1)
            if key.text in seen:
                message = f"the key {key.text!r} is given twice; first on line {seen[key.text]}"
                self._repeats.append(DocumentError(key.line, key.column, message))
                continue
            seen[key.text] = key.line
            yield key, value

    def _alias(self, event: yaml.AliasEvent) -> tuple[Node, int]:
        found = self._anchors.get(str(event.anchor))
        if found is None:
            raise _error(event, f"the alias *{event.anchor} has no anchor before it")
        return found

    def _count(self, event: yaml.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            raise _error(event, f"more than {NODES_MAX} values, aliases followed")


def _scalar(event: yaml.ScalarEvent) -> Scalar:
    line, column = _place(event)
    if not event.style and not event.implicit[0]:
        # A tag such as !!str makes a plain scalar text, as quotes would; its source begins with the tag.
        return Scalar(event.value, line, column, "'")
    start, end = event.start_mark, event.end_mark
    assert start is not None
    assert end is not None
    return Scalar(event.value, line, column, event.style or "", start.index, end.index)


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None
    return mark.line + 1, mark.column + 1


def _error(event: yaml.Event, message: str) -> DocumentError:
    return DocumentError(*_place(event), message)
