"""Walks over a definition's tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from app.definitions import ast


def nodes(node: object) -> Iterator[object]:
    """A node and all below it."""
    yield node
    for child in _children(node):
        yield from nodes(child)


def outside_where(node: object) -> Iterator[object]:
    """The nodes that are evaluated for the profile as a whole: not for one event, and not for an account's users."""
    yield node
    if not isinstance(node, ast.Chain | ast.Quantified):
        for child in _children(node):
            yield from outside_where(child)


def _children(node: object) -> Iterator[object]:
    if isinstance(node, tuple):
        yield from node
    elif is_dataclass(node) and not isinstance(node, ast.Place):
        for each in fields(node):
            child: Any = getattr(node, each.name)
            if is_dataclass(child) or isinstance(child, tuple):
                yield child
