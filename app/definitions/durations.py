"""Whole numbers and durations, as they stand in windows, date comparators and `mode`."""

from __future__ import annotations

from app.definitions.ast import DAY_MS
from app.definitions.tokens import Cursor
from app.definitions.words import UNITS_MS, WINDOW_DAYS_MAX

_DIGITS_MAX = 4_000
"""Of a whole number: Python reads a little more."""


def whole_number(cursor: Cursor) -> int | None:
    """The next token as a number without sign, point or exponent; None when it is none. Takes nothing."""
    token = cursor.next
    if token.kind != "number" or not token.text.isdigit() or len(token.text) > _DIGITS_MAX:
        return None
    return int(token.text)


def duration(cursor: Cursor) -> int:
    """`7 days`, in milliseconds."""
    number = cursor.next
    amount = whole_number(cursor)
    if amount is None:
        cursor.fail("a duration such as 7 days")
    cursor.take()
    unit_ms = UNITS_MS.get(cursor.next.word.removesuffix("s"))
    if unit_ms is None:
        cursor.fail("seconds, minutes, hours, days or weeks", near=[f"{unit}s" for unit in UNITS_MS])
    cursor.take()
    duration_ms = amount * unit_ms
    if duration_ms > WINDOW_DAYS_MAX * DAY_MS:
        cursor.fail(f"at most {WINDOW_DAYS_MAX:,} days", token=number)
    return duration_ms
