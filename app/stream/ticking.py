"""What a worker does over and over beside its partitions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from structlog.typing import FilteringBoundLogger


async def for_ever(
    pause: Callable[[], Awaitable[object]], tick: Callable[[], Awaitable[None]], log: FilteringBoundLogger, failed: str
) -> None:
    """One tick after each pause. What goes wrong, the broker almost always, makes it late, no more: it is logged, and
    tried again with the next tick."""
    while True:
        await pause()
        try:
            await tick()
        except Exception as error:
            log.warning(failed, error=repr(error))
