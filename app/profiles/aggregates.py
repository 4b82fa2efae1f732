"""How values are taken together: a total to which values come and from which, for some, they can go again.

A total is None as long as nothing is in it. Every total is the same in whatever order its values came.

| aggregate | for | value | total |
|---|---|---|---|
| `Counted` | count() | anything | how many |
| `Summed` | sum(), avg() | Decimal | [exact sum, how many] |
| `Texts` | mode(), unique(), unique().count() | text | {text: how often} |
| `Extreme` | min(), max() | Decimal or text | the value |
| `Extreme` | first(), last() | [time of the event in ms, order of its arrival, value] | the same |

Decoded bytes hold Decimals as text; they are Decimals again when they are next looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, Protocol

from app.events.values import EXACT

_ZERO = Decimal(0)


class Aggregate(Protocol):
    """One way of taking values together."""

    def add(self, total: Any, value: Any) -> Any:
        """The total with one more value; the same object may come back, changed."""
        ...

    def merge(self, total: Any, other: Any) -> Any:
        """The total of two totals; the first may be changed."""
        ...


class Reversible(Aggregate, Protocol):
    """One from whose totals values can be taken away without a trace."""

    def remove(self, total: Any, value: Any) -> Any:
        """The total without a value that is in it; None when it was the last."""
        ...


@dataclass(frozen=True, slots=True)
class Counted:
    def add(self, total: int | None, value: Any) -> int:
        return (total or 0) + 1

    def remove(self, total: int, value: Any) -> int | None:
        return total - 1 or None

    def merge(self, total: int | None, other: int | None) -> int | None:
        return (total or 0) + (other or 0) or None


@dataclass(frozen=True, slots=True)
class Summed:
    def add(self, total: list[Any] | None, value: Any) -> list[Any]:
        if total is None:
            return [_plus(_ZERO, as_number(value)), 1]
        total[0] = _plus(as_number(total[0]), as_number(value))
        total[1] += 1
        return total

    def remove(self, total: list[Any], value: Any) -> list[Any] | None:
        total[0] = _plus(as_number(total[0]), -as_number(value))
        total[1] -= 1
        return total if total[1] else None

    def merge(self, total: list[Any] | None, other: list[Any] | None) -> list[Any] | None:
        if total is None or other is None:
            return total or other
        return [_plus(as_number(total[0]), as_number(other[0])), total[1] + other[1]]


@dataclass(frozen=True, slots=True)
class Texts:
    def add(self, total: dict[str, int] | None, value: str) -> dict[str, int]:
        if total is None:
            return {value: 1}
        total[value] = total.get(value, 0) + 1
        return total

    def remove(self, total: dict[str, int], value: str) -> dict[str, int] | None:
        total[value] -= 1
        if not total[value]:
            del total[value]
        return total or None

    def merge(self, total: dict[str, int] | None, other: dict[str, int] | None) -> dict[str, int] | None:
        if total is None or other is None:
            return total or other
        for word, times in other.items():
            total[word] = total.get(word, 0) + times
        return total


@dataclass(frozen=True, slots=True)
class Extreme:
    """The least or the greatest of its values."""

    of: Literal["numbers", "texts", "moments"]
    greatest: bool

    def beats(self, one: Any, other: Any) -> bool:
        """Whether one value makes another needless; equal ones do."""
        key = KEYS[self.of]
        return bool(key(one) >= key(other) if self.greatest else key(one) <= key(other))

    def best(self, values: Iterable[Any]) -> Any:
        """The one of several that beats the rest."""
        return (max if self.greatest else min)(values, key=KEYS[self.of])

    def add(self, total: Any, value: Any) -> Any:
        return value if total is None or not self.beats(total, value) else total

    def merge(self, total: Any, other: Any) -> Any:
        return total if other is None else self.add(total, other)


def as_number(value: Decimal | str) -> Decimal:
    """A value of numbers as it was before it was encoded."""
    return value if type(value) is Decimal else Decimal(value)


def as_text(value: str) -> str:
    """A value of texts: itself."""
    return value


def moment(value: list[Any]) -> tuple[int, int]:
    """The order of a value of moments."""
    return value[0], value[1]


KEYS: dict[str, Callable[[Any], Any]] = {"numbers": as_number, "texts": as_text, "moments": moment}


def _plus(total: Decimal, value: Decimal) -> Decimal:
    total = EXACT.add(total, value)
    # 0E-5 and 0 are one number; what is empty again must not be told from what is new.
    return total if total else _ZERO
