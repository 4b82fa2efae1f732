"""Dates in values: the instants that texts spell, how they compare with the present, and when that flips."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

_ISO_8601 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(?:Z|([+-])([0-9]{2})(?::?([0-9]{2}))?)?)?"
)
_USUAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
"""What every SDK writes; read four times as fast."""
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_REMEMBERED_LENGTH_MAX = 32
_MINUTE_MS = 60_000
_DAY_MS = 1_440 * _MINUTE_MS


def instant(value: object) -> int | None:
    """Milliseconds since 1970 of an ISO-8601 text: no time is midnight, no zone is UTC; None for all else.

    `YYYY-MM-DD`, or with `Thh:mm[:ss[.f…]]` and `Z`, `±hh`, `±hhmm` or `±hh:mm`; past milliseconds digits are cut off.
    """
    if type(value) is not str:
        return None
    return _remembered(value) if len(value) <= _REMEMBERED_LENGTH_MAX else _instant(value)


def _instant(value: str) -> int | None:
    if _USUAL.fullmatch(value):
        try:
            # A float of seconds is far finer than a millisecond in every year that there is.
            return round(datetime.fromisoformat(value).timestamp() * 1_000)
        except ValueError:  # a 30th of February
            return None
    found = _ISO_8601.fullmatch(value)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hour, zone_minute = found.groups("0")
    if hour > "23" or minute > "59" or second > "59" or zone_hour > "23" or zone_minute > "59":
        return None
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    minutes = (days * 24 + int(hour)) * 60 + int(minute)
    ahead = int(zone_hour) * 60 + int(zone_minute)
    minutes += ahead if sign == "-" else -ahead
    return minutes * _MINUTE_MS + int(second) * 1_000 + int((fraction + "00")[:3])


_remembered = lru_cache(maxsize=8_192)(_instant)
"""Definitions compare with the same few dates; a profile's are asked for at each step; an event's, at each clause."""


DateComparator: TypeAlias = Callable[[object, int, int], bool]
"""The value, the duration in ms and now in ms; false for what is no date."""


def date_comparator(name: str) -> DateComparator:
    """The comparison of that name; KeyError where there is none."""
    return _DATE_COMPARATORS[name]


def _within_last(value: object, duration_ms: int, now_ms: int) -> bool:
    at_ms = instant(value)
    return at_ms is not None and now_ms - duration_ms < at_ms <= now_ms


def _before_last(value: object, duration_ms: int, now_ms: int) -> bool:
    at_ms = instant(value)
    return at_ms is not None and at_ms <= now_ms - duration_ms


def _within_next(value: object, duration_ms: int, now_ms: int) -> bool:
    at_ms = instant(value)
    return at_ms is not None and now_ms < at_ms <= now_ms + duration_ms


def _after_next(value: object, duration_ms: int, now_ms: int) -> bool:
    at_ms = instant(value)
    return at_ms is not None and at_ms > now_ms + duration_ms


_DATE_COMPARATORS: Mapping[str, DateComparator] = MappingProxyType(
    {
        "within_last": _within_last,
        "before_last": _before_last,
        "within_next": _within_next,
        "after_next": _after_next,
    }
)


def date_breakpoints(name: str, value: object, duration_ms: int) -> tuple[int, ...]:
    """The instants at which a date comparison of this value flips by time alone, in order.

    Each is the first millisecond of the new answer; none for what is no date.
    """
    at_ms = instant(value)
    if at_ms is None:
        return ()
    match name:
        case "within_last":  # becomes true, then false
            return (at_ms, at_ms + duration_ms) if duration_ms else ()
        case "before_last":  # becomes true
            return (at_ms + duration_ms,)
        case "within_next":  # becomes true, then false
            return (at_ms - duration_ms, at_ms) if duration_ms else ()
        case "after_next":  # becomes false
            return (at_ms - duration_ms,)
    raise KeyError(name)
