"""The stream process ends when a part that it lives by fails, and its log says which."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import AsyncExitStack
from pathlib import Path

from app.embedded.broker import EmbeddedBroker
from app.observability import logs
from app.settings import WorkerOptions
from app.stream.runtime import EXIT_FAILED, Runtime
from app.topics import Topics
from tests.faults.deployment import deployed


class Failing(Runtime):
    """Its once-a-second observation fails."""

    def _observe_partitions(self) -> None:
        raise KeyError("planted")


async def test_a_part_that_fails_ends_the_process(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> None:
    document = {"kafka": {"brokers": broker.bootstrap, "topic_prefix": topics.prefix, "partitions": 1}}
    stream = io.StringIO()
    async with deployed(broker.bootstrap, tmp_path, document) as deployment:
        options = WorkerOptions(deployment.data_dir, broker.bootstrap, "stream-0", deployment.config)
        logs.configure("stream-0", stream=stream, terminal=False)
        async with asyncio.timeout(60), AsyncExitStack() as stack:
            assert await Failing(deployment.settings, options).serve(stack) == EXIT_FAILED
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    (ended,) = [line for line in lines if line["event"] == "the worker ends"]
    assert (ended["level"], ended["task"]) == ("error", "beat")
    assert "planted" in ended["error"]
    assert "_observe_partitions" in ended["exception"]
