"""Whichever of a process's tasks ends, it is seen, named and explained."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

from app.observability import logs, tasks


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise KeyError("planted")


async def returns() -> None:
    return


async def said(*coroutines: Any) -> list[dict[str, Any]]:
    """The log lines about the end of the first of these tasks."""
    stream = io.StringIO()
    logs.configure("stream-0", stream=stream, terminal=False)
    started = [asyncio.create_task(each, name=each.__name__) for each in coroutines]
    async with asyncio.timeout(10):
        await tasks.first_to_end(started, logs.get("test"))
    await tasks.cancel(started)
    assert all(task.done() for task in started)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_a_task_that_fails_is_named_with_its_trace() -> None:
    (line,) = await said(for_ever(), fails())
    assert (line["level"], line["event"], line["task"]) == ("error", "the worker ends", "fails")
    assert "planted" in line["error"]
    assert "in fails" in line["exception"]


async def test_a_task_that_just_returns_is_an_end_too() -> None:
    (line,) = await said(for_ever(), returns())
    assert (line["task"], line["error"]) == ("returns", "it returned")
    assert "exception" not in line


async def test_every_task_that_has_ended_by_then_is_named() -> None:
    lines = await said(fails(), returns(), for_ever())
    assert {line["task"] for line in lines} == {"fails", "returns"}
