"""The exact numbers that values spell, and how a result is rounded.

Integers and floats stay what they are wherever Python compares those exactly; only where it does not (a string that
spells a number, an integer that no float holds) does a `Decimal` stand for the number.
"""

from __future__ import annotations

import re
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import TypeAlias

Number: TypeAlias = int | float | Decimal

EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Adds and subtracts what `exact` gives with no rounding, so a sum is the same in any order of its terms."""

EXACT_IN_FLOATS = 2**53
"""Integers nearer to zero than this compare exactly with any float."""

_NUMBER_LIKE = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_INFINITY = float("inf")
_REMEMBERED_LENGTH_MAX = 32
_EXPONENT_MAX = 400
"""Past any 64-bit float, and small enough to add exactly."""
_INTEGER_END = 10 ** (_EXPONENT_MAX + 1)
_INTEGERS_SHOWN = 10**16
"""From here on a number is written with an exponent."""
_TWELVE_DIGITS = Context(prec=12, rounding=ROUND_HALF_EVEN)


def number(value: object) -> Number | None:
    """The exact number that a number-like value spells; None when it spells none.

    Integers below 2**53 and floats stay as they are: between those Python's comparisons agree with comparing their
    shortest decimal spellings. The rest are Decimals, which must not meet a float natively: `as_decimal` first.
    """
    if type(value) is int:
        if -EXACT_IN_FLOATS < value < EXACT_IN_FLOATS:
            return value
        return Decimal(value) if -_INTEGER_END < value < _INTEGER_END else None
    if type(value) is float:
        return value if -_INFINITY < value < _INFINITY else None
    if type(value) is not str:
        return None
    return _remembered(value) if len(value) <= _REMEMBERED_LENGTH_MAX else _spelled(value)


def _spelled(word: str) -> Number | None:
    found = _NUMBER_LIKE.fullmatch(word)
    if found is None:
        return None
    if found.lastindex is None and len(word) <= 15:
        return int(word)
    try:
        spelled = Decimal(word)
    except InvalidOperation:  # an exponent of more digits than Decimal holds
        return None
    return spelled if abs(spelled.adjusted()) <= _EXPONENT_MAX else None


_remembered = lru_cache(maxsize=8_192)(_spelled)
"""Prices, ratings and quantities that come as texts are few and come often."""


def as_decimal(plain: Number) -> Decimal:
    """A number as its shortest decimal spelling: 0.1 is one tenth."""
    return Decimal(repr(plain)) if isinstance(plain, float) else Decimal(plain)


def exact(value: object) -> Decimal | None:
    """What a sum adds (with `EXACT`); None for what is not number-like."""
    if type(value) is int and -EXACT_IN_FLOATS < value < EXACT_IN_FLOATS:
        return Decimal(value)
    plain = number(value)
    return None if plain is None else as_decimal(plain)


def plain_number(spelled: Decimal) -> int | float:
    """The JSON number that a reader expects: 30 rather than 30.0."""
    if spelled == spelled.to_integral_value() and -_INTEGERS_SHOWN < spelled < _INTEGERS_SHOWN:
        return int(spelled)
    return float(spelled)


def rounded(total: Decimal, count: int = 1) -> int | float:
    """An exact sum, or an average of `count`, rounded once to 12 significant digits, half to even."""
    return plain_number(_TWELVE_DIGITS.divide(total, Decimal(count)))
