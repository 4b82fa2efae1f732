"""What goes along with a committed offset: which payloads behind it are settled already.

One payload that waits for its next try holds the offset back, while thousands behind it are delivered. Without the note
the next owner of the partition would send all of those again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Run = tuple[int, int]
"""First and last offset of payloads that are settled, all of them in between too."""
NOTE_CHARS_MAX = 4_000
"""A broker of stock settings keeps 4,096 bytes; runs that do not fit are sent again."""
VERSION = "v1"


def write_note(runs: Iterable[Run]) -> str:
    """Empty where there are no runs; else `v1 1024 0-3,9`: the first offset, and the runs counted from there."""
    parts: list[str] = []
    base = chars = 0
    for first, last in runs:
        if not parts:
            base = first
        part = f"{first - base}-{last - base}" if last > first else f"{first - base}"
        chars += len(part) + 1
        if chars > NOTE_CHARS_MAX - 40:
            break
        parts.append(part)
    return f"{VERSION} {base} {','.join(parts)}" if parts else ""


def read_note(text: str) -> list[Run]:
    """Nothing for what is no note of ours."""
    version, _, rest = text.partition(" ")
    start, _, listed = rest.partition(" ")
    if version != VERSION:
        return []
    try:
        base = int(start)
        ends = [part.partition("-") for part in listed.split(",")]
        return [(base + int(first), base + int(last or first)) for first, _, last in ends]
    except ValueError:
        return []


def is_in(offset: int, runs: Sequence[Run]) -> bool:
    """Whether an offset lies in one of the runs, which ascend."""
    at = bisect_right(runs, (offset, offset)) if runs else 0
    return (at < len(runs) and runs[at][0] == offset) or (at > 0 and offset <= runs[at - 1][1])


def unsettled(position: int, end: int, note: str) -> int:
    """How many records from a committed offset to a topic's end are not settled, as far as the note says."""
    inside = ((max(first, position), min(last, end - 1)) for first, last in read_note(note))
    return max(0, end - position - sum(max(0, last - first + 1) for first, last in inside))
