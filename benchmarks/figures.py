"""Medians and percentiles, and how figures are written in a table."""

import math
from collections.abc import Sequence
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the least value that at least `share` (0 < share ≤ 1) of the values do not pass.

    Raises:
        ValueError: no values, or a share out of range; the caller must say what it does without figures.
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    return sorted(values)[math.ceil(share * len(values)) - 1]


def middle(values: Sequence[float], *, digits: int = 0) -> str:
    """The median, and the least and the greatest value where there are several: `35,579 (34,100–36,002)`."""
    text = f"{median(values):,.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):,.{digits}f}–{max(values):,.{digits}f})"
    return text


def ratio(value: float, base: float) -> str:
    return f"{value / base:.2f} ×"


def mebibytes(size_bytes: float) -> float:
    return size_bytes / 1024**2
