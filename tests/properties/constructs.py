"""Which constructs of the language a definition has, by the names that people know them by."""

from __future__ import annotations

from collections.abc import Iterator

from app.definitions import ast
from app.definitions.model import Definition
from app.definitions.parser import parse
from app.definitions.tree import nodes
from app.events.values import has_each, path_steps

EVERY = frozenset(
    {
        *("where", "within", "between", "expires_after", "sources", "within(parent:)"),
        *("count", "sum", "avg", "min", "max", "min as string", "max as string", "mode", "mode as array"),
        *("first", "last", "unique", "unique_count", "reducer over $", "comparison over $"),
        *("funnel", "funnel of three", "property(parent:)", "context", "trait", "trait in where"),
        *("within_last", "before_last", "within_next", "after_next", "date turns inside where"),
        *("reference to a definition", "AND", "OR", "NOT", "two chains compared"),
    }
)
"""Constructs that random scenarios have to turn both ways. Not all there are: those that break silently."""


def constructs(definition: Definition, keys: set[str]) -> set[str]:
    """The constructs of a definition.

    Args:
        keys: Of all definitions.
    """
    return {found for node in nodes(parse(definition)) for found in _of(node, keys)}


def _of(node: object, keys: set[str]) -> Iterator[str]:
    match node:
        case ast.And() | ast.Or() | ast.Not():
            yield type(node).__name__.upper()
        case ast.Trait(key):
            yield "reference to a definition" if key in keys else "trait"
        case ast.Property(path, of_parent):
            yield "property(parent:)" if of_parent else "property"
            if has_each(path_steps(path)):
                yield "comparison over $"
        case ast.Context():
            yield "context"
        case ast.Within(_, of_parent):
            yield "within(parent:)" if of_parent else "within"
        case ast.Between():
            yield "between"
        case ast.ExpiresAfter():
            yield "expires_after"
        case ast.Sources():
            yield "sources"
        case ast.DateComparison(_, name):
            yield name
        case ast.Comparison(ast.Chain(), _, (ast.Chain(),)):
            yield "two chains compared"
        case ast.Comparison(_, name):
            yield name
        case ast.Reducer(name, path, as_type):
            yield f"{name} as {as_type}" if as_type else name
            if path is not None and has_each(path_steps(path)):
                yield "reducer over $"
        case ast.Where(condition):
            yield from _inside_where(list(nodes(condition)))


def _inside_where(inside: list[object]) -> Iterator[str]:
    yield "where"
    if any(isinstance(node, ast.Trait) for node in inside):
        yield "trait in where"
    if any(isinstance(node, ast.DateComparison) for node in inside):
        yield "date turns inside where"
    children = [node for node in inside if isinstance(node, ast.Chain)]
    if children:
        yield "funnel"
    if any(isinstance(below, ast.Chain) for child in children for each in child.filters for below in nodes(each)):
        yield "funnel of three"
