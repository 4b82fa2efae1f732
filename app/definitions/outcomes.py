"""Whether a comparison can hold, and whether it can fail, for any values of the shapes of its sides.

Each answer is one-sided: "it can" may be wrong, "it cannot" is proved by the rules of values (README.md). Where both
sides are of a few known values, these are tried out with the very comparators that evaluate definitions; the rest
follows from what a count, a number or a list is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from app.definitions.shapes import Kind, Shape
from app.events.values import Json, as_decimal, compact_json, comparator, instant, number, text

ORDERINGS = {"greater_than": "less_than", "less_than": "greater_than", "at_least": "at_most", "at_most": "at_least"}
"""Each with what says the same from the other side."""
DATE_ORDERINGS = {"before_date": "after_date", "after_date": "before_date"}
TEXT_TESTS = ("contains", "omits", "starts_with", "ends_with")
_OF_EACH = {"one_of": "equals", "none_of": "differs", "contains": "contains"}


@dataclass(frozen=True, slots=True)
class Outcome:
    can_hold: bool
    can_fail: bool


OPEN = Outcome(can_hold=True, can_fail=True)
NEVER = Outcome(can_hold=False, can_fail=True)


def outcome(name: str, left: Shape, arguments: Sequence[Shape]) -> Outcome:
    """Of a comparator and its sides."""
    if name == "exists":
        return Outcome(can_hold=True, can_fail=left.may_be_null)
    if name == "absent":
        return Outcome(can_hold=left.may_be_null, can_fail=True)
    if name == "omits":
        contains = outcome("contains", left, arguments)
        return Outcome(can_hold=contains.can_fail, can_fail=contains.can_hold)
    each = [_nullable(_pair(_OF_EACH.get(name, name), left, argument), left, argument) for argument in arguments]
    if name == "none_of":
        return Outcome(all(one.can_hold for one in each), any(one.can_fail for one in each))
    # Of several arguments one is enough.
    return Outcome(any(one.can_hold for one in each), all(one.can_fail for one in each))


def _nullable(found: Outcome, left: Shape, right: Shape) -> Outcome:
    return Outcome(found.can_hold, found.can_fail or left.may_be_null or right.may_be_null)


def _pair(name: str, left: Shape, right: Shape) -> Outcome:
    """Of two values that are not null."""
    if left.kind is Kind.VALUES and right.kind is Kind.VALUES:
        return _tried(name, left.values, right.values)
    if name == "differs":
        equal = _pair("equals", left, right)
        return Outcome(can_hold=equal.can_fail, can_fail=equal.can_hold)
    if name == "equals":
        return OPEN if _can_equal(left, right) and _can_equal(right, left) else NEVER
    if name in ORDERINGS:
        return _ordering(name, left, right)
    if name in DATE_ORDERINGS:
        return OPEN if can_be_date(left) and can_be_date(right) else NEVER
    return _text_test(name, left, right)


def _tried(name: str, lefts: Sequence[Json], rights: Sequence[Json]) -> Outcome:
    holds = comparator(name)
    found = {holds(left, (right,)) for left, right in product(lefts, rights)}
    return Outcome(can_hold=True in found, can_fail=False in found)


# ── equality ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _can_equal(left: Shape, right: Shape) -> bool:
    """What one side's kind says of the other; to be asked both ways round."""
    match left.kind:
        case Kind.COUNT | Kind.NUMBER if right.kind is Kind.VALUES:
            return any(_equals_number(value, count=left.kind is Kind.COUNT) for value in right.values)
        case Kind.LIST if right.kind is Kind.VALUES:
            return any(_is_list_text(text(value)) for value in right.values)
        case Kind.LIST:
            return right.kind not in (Kind.COUNT, Kind.NUMBER)
    return True


def _equals_number(value: Json, *, count: bool) -> bool:
    if isinstance(value, bool):
        return False
    spelled = number(value)
    if spelled is None:
        # A sum beyond all floats has these texts.
        return not count and value in ("inf", "-inf")
    exact = as_decimal(spelled)
    return not count or (exact >= 0 and exact == exact.to_integral_value())


def _is_list_text(word: str) -> bool:
    try:
        found = json.loads(word)
    except (ValueError, RecursionError):
        return False
    texts = [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
    return bool(texts) and texts == found == sorted(set(texts)) and compact_json(found) == word


# ── order ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def can_be_number(shape: Shape) -> bool:
    """Whether it can be number-like."""
    if shape.kind is Kind.VALUES:
        return any(number(value) is not None for value in shape.values)
    return shape.kind is not Kind.LIST


def can_be_date(shape: Shape) -> bool:
    if shape.kind is Kind.VALUES:
        return any(instant(value) is not None for value in shape.values)
    return shape.kind in (Kind.TEXT, Kind.ANYTHING)


def _ordering(name: str, left: Shape, right: Shape) -> Outcome:
    if not (can_be_number(left) and can_be_number(right)):
        return NEVER
    if right.kind is Kind.COUNT and left.kind is Kind.VALUES:
        return _ordering(ORDERINGS[name], right, left)
    if left.kind is not Kind.COUNT or right.kind is not Kind.VALUES:
        return OPEN
    found = [_count_order(name, value) for value in right.values]
    return Outcome(any(one.can_hold for one in found), any(one.can_fail for one in found))


def _count_order(name: str, value: Json) -> Outcome:
    """A count against one value: there is no greatest count, and 0 is the least."""
    spelled = number(value)
    if spelled is None:
        return NEVER
    least = comparator(name)(0, (value,))
    rises = name in ("greater_than", "at_least")
    return Outcome(can_hold=least or rises, can_fail=not least or not rises)


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _text_test(name: str, left: Shape, right: Shape) -> Outcome:
    if left.kind is not Kind.LIST or right.kind is not Kind.VALUES:
        return OPEN
    words = [text(value) for value in right.values]
    if name == "starts_with":
        return OPEN if any(word.startswith('["') or '["'.startswith(word) for word in words) else NEVER
    if name == "ends_with":
        return OPEN if any(word.endswith('"]') or '"]'.endswith(word) for word in words) else NEVER
    return OPEN
