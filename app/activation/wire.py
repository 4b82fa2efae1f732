"""How values and instants are written in the records that leave Headwater."""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from math import inf

import orjson

JSON_INT_MAX = 2**63 - 1
DAY_MS = 86_400_000
EPOCH_DAY = date(1970, 1, 1).toordinal()
INSTANT_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999; ISO 8601 has four digits for a year."""


def encode(value: object) -> bytes:
    """JSON in UTF-8. An integer of more than 64 bits becomes the nearest float, a lone surrogate a question mark."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_storable(value))


def iso(at_ms: int) -> str:
    """`2026-01-31T10:00:00.000Z`. Instants before 1970 or after 9999 become the nearest one that can be written."""
    at_ms = min(max(at_ms, 0), INSTANT_MS_MAX)
    day, of_day_ms = divmod(at_ms, DAY_MS)
    minute, of_minute_ms = divmod(of_day_ms, 60_000)
    rest = minute // 60, minute % 60, of_minute_ms // 1000, of_minute_ms % 1000
    return "%sT%02d:%02d:%02d.%03dZ" % (_day(day), *rest)  # noqa: UP031  two thirds of an f-string's time


@lru_cache(maxsize=4096)  # a third of the time of formatting it anew
def _day(number: int) -> str:
    return date.fromordinal(EPOCH_DAY + number).isoformat()


def _storable(value: object) -> object:
    match value:
        case bool():
            return value
        case int() if not -JSON_INT_MAX - 1 <= value <= JSON_INT_MAX:
            try:
                return float(value)
            except OverflowError:
                return inf
        case str():
            return value.encode(errors="replace").decode()
        case Mapping():
            return {str(_storable(key)): _storable(item) for key, item in value.items()}
        case list() | tuple():
            return [_storable(item) for item in value]
        case _:
            return value
