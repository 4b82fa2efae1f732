"""Records that are no events: what broken clients put on a topic. Each must end in `events.dead`, once."""

from __future__ import annotations

from collections.abc import Callable

_KINDS: tuple[Callable[[int], bytes | None], ...] = (
    lambda number: f'{{"type": "track", "event": "cut off {number}'.encode(),
    lambda number: f'["an array", {number}]'.encode(),
    lambda number: f'{{"type": "teleport", "userId": "broken-{number}"}}'.encode(),
    lambda number: f'{{"type": "track", "event": "Product Viewed", "messageId": "nobody-{number}"}}'.encode(),
    lambda number: f'{{"type": "track", "userId": "broken-{number}"}}'.encode(),
    lambda number: f'{{"type": "track", "userId": "broken-{number}", "event": "X", "properties": "all"}}'.encode(),
    lambda number: (
        f'{{"type": "track", "userId": "broken-{number}", "event": "X", "properties": {{"n": NaN}}}}'.encode()
    ),
    lambda number: b"\xff\xfe not even text %d" % number,
    lambda number: b'{"a":' * 1_000 + b"%d" % number + b"}" * 1_000,
    lambda number: f'{{"type": "identify", "userId": "broken-{number}", "traits": {{"a": "{"x" * 40_000}"}}}}'.encode(),
    lambda number: None,
)


def broken_value(number: int) -> bytes | None:
    """The n-th broken record: the kinds take turns, and no two are equal but the null ones."""
    return _KINDS[number % len(_KINDS)](number)
