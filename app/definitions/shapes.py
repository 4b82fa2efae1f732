"""What values a scalar can have at all: the types of the language.

| shape | of | values |
|---|---|---|
| `values` given | literals; `trait` of an audience | these |
| COUNT | `count()`, `unique(p).count()` | whole numbers from 0 |
| NUMBER | `sum`, `avg`, `min`, `max` | numbers |
| TEXT | `mode`, `min` and `max` `as string` | texts |
| LIST | `unique` | the JSON text of a sorted list of different texts, at least one |
| ANYTHING | properties, context, custom traits, `first`, `last` | every JSON value |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from app.definitions.ast import Body, Chain, Literal, Reducer, Scalar, Trait
from app.events.values import Json


class Kind(Enum):
    VALUES = auto()
    COUNT = auto()
    NUMBER = auto()
    TEXT = auto()
    LIST = auto()
    ANYTHING = auto()


@dataclass(frozen=True, slots=True)
class Shape:
    kind: Kind
    may_be_null: bool = True
    values: tuple[Json, ...] = ()
    """All that it can be besides null, for the kind VALUES."""


FLAG = Shape(Kind.VALUES, values=(True, False))
"""Of an audience; null too, because inside `where` it is what it was when the event was applied."""
ANYTHING = Shape(Kind.ANYTHING)

_KINDS = {
    **{"count": Kind.COUNT, "unique_count": Kind.COUNT},
    **{"sum": Kind.NUMBER, "avg": Kind.NUMBER, "min": Kind.NUMBER, "max": Kind.NUMBER},
    **{"mode": Kind.TEXT, "first": Kind.ANYTHING, "last": Kind.ANYTHING, "unique": Kind.LIST},
}


def shape_of(scalar: Scalar, known: Mapping[str, Body]) -> Shape:
    """The shape of one side of a comparison.

    Args:
        known: The bodies of the definitions that trait() can mean here; any other key is a custom trait.
    """
    match scalar:
        case Literal(value):
            return Shape(Kind.VALUES, may_be_null=False, values=(value,))
        case Chain(_, _, reducer):
            kind = _kind(reducer)
            return Shape(kind, may_be_null=kind is not Kind.COUNT)
        case Trait(key) if key in known:
            body = known[key]
            # A computed trait is null until its first value, a count too.
            return Shape(_kind(body.reducer)) if isinstance(body, Chain) else FLAG
    return ANYTHING


def _kind(reducer: Reducer) -> Kind:
    return Kind.TEXT if reducer.as_type == "string" else _KINDS[reducer.name]
