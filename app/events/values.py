"""Values as definitions see them: text, numbers, dates, paths, and what it means to compare two of them.

Everything here runs for every event. Integers and floats are compared as they are wherever that is exact; only where it
is not (a string that spells a number, an integer that no float holds) does a `Decimal` stand for the number.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring
from types import MappingProxyType
from typing import Any, TypeAlias

from app.events.dates import DateComparator, date_breakpoints, date_comparator, instant
from app.events.numbers import EXACT, EXACT_IN_FLOATS, Number, as_decimal, exact, number, plain_number, rounded

__all__ = [
    "EACH",
    "EXACT",
    "Comparator",
    "DateComparator",
    "Json",
    "Number",
    "as_decimal",
    "compact_json",
    "comparator",
    "comparator_with",
    "date_breakpoints",
    "date_comparator",
    "equality_key",
    "exact",
    "has_each",
    "instant",
    "number",
    "path_steps",
    "plain_number",
    "rounded",
    "same",
    "text",
    "value_at",
    "values_at",
]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

EACH = "$"
"""The step of a path that means every element of an array."""


# ── text ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def text(value: Json) -> str:
    """Strings as they are, everything else as compact JSON."""
    return value if isinstance(value, str) else compact_json(value)


def compact_json(value: Json) -> str:
    """JSON without spaces: keys in the order received, `é` as it is, numbers in their shortest form."""
    match value:
        case str():
            return encode_basestring(value)
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            # Above a few thousand digits Python refuses str(), but not the way through a Decimal.
            return str(value) if -EXACT_IN_FLOATS < value < EXACT_IN_FLOATS else str(Decimal(value))
        case float():
            return _float_text(value)
        case list():
            return "[" + ",".join(map(compact_json, value)) + "]"
        case _:
            return (
                "{" + ",".join([f"{encode_basestring(key)}:{compact_json(each)}" for key, each in value.items()]) + "}"
            )


def _float_text(value: float) -> str:
    if value.is_integer() and -1e16 < value < 1e16:
        return str(int(value))
    # Python writes 1e-07 and 1e+22, the shortest JSON is 1e-7 and 1e22.
    digits, _, exponent = repr(value).partition("e")
    return f"{digits}e{int(exponent)}" if exponent else digits


def same(a: Json, b: Json) -> bool:
    """Whether two results are the same value: 1 and 1.0 are; 1, "1" and true are three values."""
    kind = type(a)
    if kind is type(b) and (kind is str or kind is int or kind is float or kind is bool):
        return a == b
    return compact_json(a) == compact_json(b)


# ── paths ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_DOT = re.compile(r"(?<!\\)\.")


def path_steps(path: str) -> tuple[str, ...]:
    r"""The steps of a path, once per definition: `a.b\.c` is `a` and `b.c`."""
    return tuple(step.replace("\\.", ".") for step in _DOT.split(path))


def has_each(steps: Sequence[str]) -> bool:
    """Whether a path can lead to several values."""
    return EACH in steps


def value_at(root: Json, steps: Sequence[str]) -> Json:
    """The one value that a path without `$` leads to."""
    for step in steps:
        if type(root) is not dict:
            return None
        root = root.get(step)
    return root


def values_at(root: Json, steps: Sequence[str]) -> list[Json]:
    """All that a path leads to, never nothing: one value, maybe null, or one per element where the path has `$`."""
    value = root
    for at, step in enumerate(steps):
        if step == EACH:
            return _each(value, steps[at:])
        value = value.get(step) if type(value) is dict else None
    return [value]


def _each(root: Json, steps: Sequence[str]) -> list[Json]:
    found = [root]
    for step in steps:
        if step == EACH:
            found = [element for value in found if type(value) is list for element in value]
        else:
            found = [value.get(step) if type(value) is dict else None for value in found]
    return found or [None]


# ── comparisons of values ─────────────────────────────────────────────────────────────────────────────────────────

Comparator: TypeAlias = Callable[[Json, Sequence[Json]], bool]
"""The left side, and the right sides: none for `absent` and `exists`, several for `contains`, `omits`, `one_of` and
`none_of`, one for the rest. A side with `$` is the caller's to take apart: the comparison holds when it holds for any
choice of elements, `omits` when `contains` holds for none."""


def comparator(name: str) -> Comparator:
    """The comparison of that name, to be looked up once per definition; KeyError where there is none."""
    return _COMPARATORS[name]


def comparator_with(name: str, arguments: Sequence[Json]) -> Callable[[Json], bool]:
    """The comparison of that name with right sides that never change, so that they need not be looked at each time."""
    holds, right = comparator(name), arguments[0] if len(arguments) == 1 else None
    in_order = _PLAIN_ORDERS.get(name)
    if in_order is not None and _is_plain(right):

        def ordered(left: Json) -> bool:
            kind = type(left)
            if (kind is int or kind is float) and -EXACT_IN_FLOATS < left < EXACT_IN_FLOATS:  # type: ignore[operator]
                return in_order(left, right)
            return holds(left, arguments)

        return ordered
    if name == "equals" and type(right) is str:
        return lambda left: left == right if type(left) is str else holds(left, arguments)
    if name == "contains":
        words = [text(each) for each in arguments if each is not None]
        return lambda left: left is not None and any(map(text(left).__contains__, words))
    return lambda left: holds(left, arguments)


def _is_plain(value: Json) -> bool:
    """Whether Python compares it as the language does, with others like it."""
    return (type(value) is int or type(value) is float) and -EXACT_IN_FLOATS < value < EXACT_IN_FLOATS


_PLAIN_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "equals": operator.eq,
        "greater_than": operator.gt,
        "at_least": operator.ge,
        "less_than": operator.lt,
        "at_most": operator.le,
    }
)
_PLAIN = frozenset({int, float})


def _equals(left: Json, arguments: Sequence[Json]) -> bool:
    return _equal(left, arguments[0])


def _differs(left: Json, arguments: Sequence[Json]) -> bool:
    return left is not None and arguments[0] is not None and not _equal(left, arguments[0])


def _one_of(left: Json, arguments: Sequence[Json]) -> bool:
    return any(_equal(left, argument) for argument in arguments)


def _none_of(left: Json, arguments: Sequence[Json]) -> bool:
    """A null among the arguments makes it false: what is unknown cannot be ruled out."""
    return left is not None and all(argument is not None and not _equal(left, argument) for argument in arguments)


def _equal(left: Json, right: Json) -> bool:
    """Numeric where one side is a number and both are number-like, else by text; false with null."""
    kind = type(left)
    if kind is type(right) and (kind is str or kind is int or kind is float or kind is bool):
        return left == right
    if left is None or right is None:
        return False
    if kind in _PLAIN or type(right) in _PLAIN:
        if (
            (type(left) is int or type(left) is float)
            and (type(right) is int or type(right) is float)
            and -EXACT_IN_FLOATS < left < EXACT_IN_FLOATS
            and -EXACT_IN_FLOATS < right < EXACT_IN_FLOATS
        ):
            return left == right
        x, y = number(left), number(right)
        if x is not None and y is not None:
            if isinstance(x, Decimal) or isinstance(y, Decimal):
                return as_decimal(x) == as_decimal(y)
            return x == y
    return text(left) == text(right)


def equality_key(value: Json) -> Decimal | str | None:
    """What values have in common that are equal: values of different keys are not. None for what equals nothing.

    Two of one key need not be equal: 1 equals "1" and "01", which are two texts.
    """
    if value is None:
        return None
    plain = number(value)
    return text(value) if plain is None else as_decimal(plain)


def _ordering(in_order: Callable[[Number, Number], bool]) -> Comparator:
    def holds(left: Json, arguments: Sequence[Json]) -> bool:
        right = arguments[0]
        # Nearly all comparisons end here, in a third of the time of the way below.
        if (
            (type(left) is int or type(left) is float)
            and (type(right) is int or type(right) is float)
            and -EXACT_IN_FLOATS < left < EXACT_IN_FLOATS
            and -EXACT_IN_FLOATS < right < EXACT_IN_FLOATS
        ):
            return in_order(left, right)
        x, y = number(left), number(right)
        if x is None or y is None:
            return False
        if isinstance(x, Decimal) or isinstance(y, Decimal):
            return in_order(as_decimal(x), as_decimal(y))
        return in_order(x, y)

    return holds


def _date_ordering(in_order: Callable[[int, int], bool]) -> Comparator:
    def holds(left: Json, arguments: Sequence[Json]) -> bool:
        x, y = instant(left), instant(arguments[0])
        return x is not None and y is not None and in_order(x, y)

    return holds


def _absent(left: Json, arguments: Sequence[Json]) -> bool:
    return left is None


def _exists(left: Json, arguments: Sequence[Json]) -> bool:
    return left is not None


def _contains(left: Json, arguments: Sequence[Json]) -> bool:
    if left is None:
        return False
    whole = text(left)
    return any(argument is not None and text(argument) in whole for argument in arguments)


def _omits(left: Json, arguments: Sequence[Json]) -> bool:
    return not _contains(left, arguments)


def _starts_with(left: Json, arguments: Sequence[Json]) -> bool:
    return left is not None and arguments[0] is not None and text(left).startswith(text(arguments[0]))


def _ends_with(left: Json, arguments: Sequence[Json]) -> bool:
    return left is not None and arguments[0] is not None and text(left).endswith(text(arguments[0]))


_COMPARATORS: Mapping[str, Comparator] = MappingProxyType(
    {
        "equals": _equals,
        "differs": _differs,
        "greater_than": _ordering(operator.gt),
        "at_least": _ordering(operator.ge),
        "less_than": _ordering(operator.lt),
        "at_most": _ordering(operator.le),
        "absent": _absent,
        "exists": _exists,
        "contains": _contains,
        "omits": _omits,
        "starts_with": _starts_with,
        "ends_with": _ends_with,
        "one_of": _one_of,
        "none_of": _none_of,
        "before_date": _date_ordering(operator.lt),
        "after_date": _date_ordering(operator.gt),
    }
)
