"""Tree → text: the one way in which equal trees are written, so that a text can stand for a tree."""

from __future__ import annotations

from typing import assert_never

from app.definitions.ast import (
    And,
    Between,
    Body,
    Chain,
    Comparison,
    Condition,
    Context,
    DateComparison,
    ExpiresAfter,
    Filter,
    Literal,
    Not,
    Or,
    Property,
    Quantified,
    Reducer,
    Scalar,
    Sources,
    Trait,
    Where,
    Within,
)
from app.definitions.words import OPERATORS, UNITS_MS

_SIGNS = {comparator: sign for sign, comparator in OPERATORS.items() if sign != "=="}


def to_text(node: Body | Scalar | Filter | Reducer) -> str:
    """Canonical text: parsing it gives the tree back, types of literals included.

    It tells apart what `==` of trees does not: to Python `Literal(1)`, `Literal(1.0)` and `Literal(True)` are equal.
    """
    match node:
        case Literal() | Trait() | Property() | Context() | Chain():
            return _scalar(node)
        case Where() | Within() | Between() | ExpiresAfter() | Sources():
            return _filter(node)
        case Reducer():
            return _reducer(node)
        case _:
            return _condition(node)


def _condition(condition: Condition) -> str:
    match condition:
        case Comparison(left, comparator, arguments):
            if comparator in _SIGNS:
                return f"{_scalar(left)} {_SIGNS[comparator]} {_scalar(arguments[0])}"
            return f"{_scalar(left)}.{comparator}({', '.join(map(_scalar, arguments))})"
        case DateComparison(left, comparator, duration_ms):
            return f"{_scalar(left)}.{comparator}({_duration(duration_ms)})"
        case Not(inner):
            return f"NOT {_operand(inner)}"
        case Quantified(quantifier, inner):
            return f"{quantifier} {_operand(inner)}"
        case And(conditions):
            return " AND ".join(map(_operand, conditions))
        case Or(conditions):
            return " OR ".join(map(_operand, conditions))
    assert_never(condition)


def _operand(condition: Condition) -> str:
    return f"({_condition(condition)})" if isinstance(condition, And | Or) else _condition(condition)


def _scalar(scalar: Scalar) -> str:
    match scalar:
        case Literal(value, is_date):
            if isinstance(value, str):
                return value if is_date else _quoted(value)
            return repr(value).lower()
        case Trait(key):
            return f"trait({_quoted(key)})"
        case Property(path, of_parent):
            return f"property({'parent: ' if of_parent else ''}{_quoted(path)})"
        case Context(path):
            return f"context({_quoted(path)})"
        case Chain(event, filters, reducer):
            return ".".join([f"event({_quoted(event)})", *map(_filter, filters), _reducer(reducer)])
    assert_never(scalar)


def _filter(node: Filter) -> str:
    match node:
        case Where(condition):
            return f"where({_condition(condition)})"
        case Within(duration_ms, of_parent):
            return f"within({'parent: ' if of_parent else ''}{_duration(duration_ms)})"
        case Between(near_ms, far_ms):
            return f"between({_duration(near_ms)}, {_duration(far_ms)})"
        case ExpiresAfter(duration_ms):
            return f"expires_after({_duration(duration_ms)})"
        case Sources(exclude):
            return f"sources(exclude: {{{', '.join(map(_quoted, exclude))}}})"
    assert_never(node)


def _reducer(reducer: Reducer) -> str:
    if reducer.path is None:
        return f"{reducer.name}()"
    inside = f"property({_quoted(reducer.path)})"
    if reducer.as_type is not None:
        inside += f" as {reducer.as_type}"
    if reducer.minimum is not None:
        inside += f", {reducer.minimum}"
    return f"unique({inside}).count()" if reducer.name == "unique_count" else f"{reducer.name}({inside})"


def _duration(duration_ms: int) -> str:
    """In the largest unit that needs no fraction: the text is the same however it was written."""
    for unit, unit_ms in sorted(UNITS_MS.items(), key=lambda item: -item[1]):
        if duration_ms and duration_ms % unit_ms == 0:
            amount = duration_ms // unit_ms
            return f"{amount} {unit}{'' if amount == 1 else 's'}"
    return "0 seconds"


def _quoted(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"
