"""The tasks that a process lives by: when one of them ends, so does the process, and its log says which and why."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from structlog.typing import FilteringBoundLogger


async def first_to_end(tasks: Collection[asyncio.Task[None]], log: FilteringBoundLogger) -> None:
    """Return once one of them has ended, which none does while all is well; the others are the caller's to cancel.

    An exception in a task that nobody waits for is seen by nobody, and the process would go on as if it were whole.
    """
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        error = None if task.cancelled() else task.exception()
        reason = "it returned" if error is None else str(error) or repr(error)
        log.error("the worker ends", task=task.get_name(), error=reason, exc_info=error)


async def cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel them, and return once they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
