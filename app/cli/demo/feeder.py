"""Sends the planned records, each at its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from app.cli.demo.board import Board
from app.cli.demo.shop import DELAY_MS_MAX

TICK_S = 0.02
"""Records that are due within one tick go out as one batch."""
BATCH_RECORDS_MAX = 500

KeyValue = tuple[bytes, bytes | None]
Post = Callable[[Sequence[KeyValue]], Awaitable[None]]
"""Sends a batch in order and returns when the broker has confirmed all of it."""


async def feed(records: Sequence[tuple[int, bytes, bytes | None]], post: Post, board: Board) -> None:
    """Send (at_ms, key, value) records on time by the board's clock, which must be running.

    A batch waits for the one before it, so keys keep their order. A broker that is slow makes records late, never
    fewer: after a stall what is overdue goes out in full batches.
    """
    for at_ms, batch in _batches(records):
        wait_ms = at_ms - board.elapsed_ms
        if wait_ms > 0:
            await asyncio.sleep(wait_ms / 1_000)
        await post(batch)
        board.sent_count += len(batch)
        if board.elapsed_ms - at_ms <= DELAY_MS_MAX:
            board.in_time_count += len(batch)


def _batches(records: Sequence[tuple[int, bytes, bytes | None]]) -> Iterator[tuple[int, list[KeyValue]]]:
    """Records grouped by tick, each group with the time of its last record: nothing is sent before its time."""
    tick_ms = int(TICK_S * 1_000)
    batch: list[KeyValue] = []
    last_ms = 0
    for at_ms, key, value in records:
        if batch and (at_ms // tick_ms != last_ms // tick_ms or len(batch) >= BATCH_RECORDS_MAX):
            yield last_ms, batch
            batch = []
        batch.append((key, value))
        last_ms = at_ms
    if batch:
        yield last_ms, batch
