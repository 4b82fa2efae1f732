"""Why a comparison cannot hold, or cannot fail, and what to write instead, in words."""

from __future__ import annotations

from collections.abc import Sequence

from app.definitions.ast import Chain, Comparison, Literal, Scalar, Trait
from app.definitions.outcomes import DATE_ORDERINGS, ORDERINGS, TEXT_TESTS, can_be_date, can_be_number
from app.definitions.printer import to_text
from app.definitions.shapes import FLAG, Kind, Shape

_SHOWN_MAX = 60


def shown(comparison: Comparison) -> str:
    """The comparison, short: of a chain only its reducer."""
    sides = [_side(comparison.left), *map(_side, comparison.arguments)]
    if comparison.comparator in _SIGNS:
        return f"{sides[0]} {_SIGNS[comparison.comparator]} {sides[1]}"
    return f"{sides[0]}.{comparison.comparator}({', '.join(sides[1:])})"


_SIGNS = {
    **{"equals": "=", "differs": "!="},
    **{"greater_than": ">", "at_least": ">=", "less_than": "<", "at_most": "<="},
}


def _side(scalar: Scalar) -> str:
    text = to_text(scalar.reducer if isinstance(scalar, Chain) else scalar)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"


def reason(comparison: Comparison, shapes: Sequence[Shape]) -> tuple[str, str]:
    """Why, and what to write instead.

    Args:
        shapes: Of the left side, then of each argument.
    """
    name = comparison.comparator
    sides = list(zip((comparison.left, *comparison.arguments), shapes, strict=True))
    if name in DATE_ORDERINGS:
        scalar, _ = next((side for side in sides if not can_be_date(side[1])), sides[0])
        if isinstance(scalar, Literal):
            return f"{_side(scalar)} is no date", "write a date such as 2026-01-31"
        return f"{_what(scalar, shapes[0])} is no date", "compare a property or a trait that holds a date"
    if name in ORDERINGS and (odd := next((side for side in sides if not can_be_number(side[1])), None)):
        return _not_a_number(*odd)
    for scalar, shape in sides:
        if not isinstance(scalar, Literal) and shape.kind is not Kind.ANYTHING:
            return _of_kind(scalar, shape, name)
    return f"{shown(comparison)} is the same at all times", "compare an event, a trait or a property"


def _not_a_number(scalar: Scalar, shape: Shape) -> tuple[str, str]:
    if isinstance(scalar, Literal) and scalar.is_date:
        return f"{_side(scalar)} is no number", "dates take .before_date(…) and .after_date(…)"
    if isinstance(scalar, Literal):
        return f"{_side(scalar)} is no number, and < and > are only for numbers", "write a number"
    what = f"{_what(scalar, shape)} is no number"
    if shape.kind is Kind.LIST:
        return what, "count the list: unique(…).count()"
    return what, "write = true or = false"


def _of_kind(scalar: Scalar, shape: Shape, name: str) -> tuple[str, str]:
    match shape.kind:
        case Kind.COUNT if name in ("exists", "absent"):
            return "a count is never null, it begins at 0", "write > 0 or = 0"
        case Kind.COUNT if name in ORDERINGS:
            return "a count is a whole number from 0", "for none write = 0, for any write > 0"
        case Kind.COUNT:
            return "a count is a whole number from 0", "write such a number"
        case Kind.NUMBER:
            return f"{_what(scalar, shape)} is a number", "write a number"
        case Kind.LIST:
            return (
                f"{_what(scalar, shape)} is compared as the JSON text of a list",
                "look for a text with .contains('\"…\"'), or count the list: unique(…).count()",
            )
        case _:
            return f"{_what(scalar, shape)} is true or false", "write = true or = false"


def _what(scalar: Scalar, shape: Shape) -> str:
    if isinstance(scalar, Trait) and shape == FLAG:
        return f"the audience {scalar.key!r}"
    if isinstance(scalar, Trait):
        return f"the computed trait {scalar.key!r}"
    return f"{scalar.reducer.name.removesuffix('_count')}(…)" if isinstance(scalar, Chain) else _side(scalar)


def text_test_of_count(comparison: Comparison, left: Shape) -> tuple[str, str] | None:
    """A count's digits have no meaning as a text, even where the test could hold."""
    if left.kind is Kind.COUNT and comparison.comparator in TEXT_TESTS:
        return "a count is a number, and this looks at its digits as a text", "write =, <, <=, > or >="
    return None
