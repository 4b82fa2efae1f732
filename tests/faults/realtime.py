"""The oracle's scenarios of seconds, played in real time: as a configuration, and message by message."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from random import SystemRandom
from typing import Any, TypeVar

import orjson

from app.clock import SystemClock
from app.topics import partition_of
from tests.faults.deployment import Deployment, NeverHappened
from tests.oracle import scenario_people, scenario_queries, scenario_words
from tests.scenarios import Scenario

STARTING_S = 20
"""Six workers start at once, on two cores."""
SPAN_MS = 20_000
"""How long people do things; the windows of seconds stay as long as they are."""
QUIET_S = 3.0
SEED = os.environ.get("SEED")

Figures = TypeVar("Figures")


async def rounds(play: Callable[[int], Awaitable[Figures]], count: int, together: int, file: str) -> list[Figures]:
    """Play so many scenarios, some at once, each by a worker of its own; from `SEED` on, or from any."""
    first = int(SEED) if SEED else SystemRandom().randrange(1_000_000)
    played: dict[int, Figures] = {}
    for start in range(first, first + count, together):
        seeds = range(start, min(start + together, first + count))
        print(f"seeds {seeds.start} to {seeds.stop - 1}; one again: SEED={seeds.start} pytest {file}")
        async with asyncio.TaskGroup() as group:
            tasks = {seed: group.create_task(_one(play, seed)) for seed in seeds}
        played |= {seed: task.result() for seed, task in tasks.items()}
    for seed, figures in played.items():
        print(f"seed {seed}: {figures}")
    return list(played.values())


async def _one(play: Callable[[int], Awaitable[Figures]], seed: int) -> Figures:
    return await play(seed)


async def two_lives(deployment: Deployment, made: Scenario, death: str = "") -> int:
    """Play a scenario to its end with a worker that is killed halfway, if it has not died at a failpoint before.

    Returns:
        The instant at which everything was at rest. The worker is stopped.
    """
    now_ms = SystemClock().now_ms
    await deployment.start(death)
    with suppress(NeverHappened) if death else nullcontext():  # it may die before that
        await deployment.ready()
    halfway = len(made.messages) // 2
    await send(deployment, made.messages[:halfway])
    await deployment.kill()
    await deployment.start()
    await send(deployment, made.messages[halfway:])
    await deployment.ready()
    await asyncio.sleep(max(0, made.until_ms - now_ms()) / 1_000)
    await deployment.at_rest(QUIET_S)
    rested_ms = now_ms()
    await deployment.stop()
    return rested_ms


async def send(deployment: Deployment, messages: list[tuple[int, dict[str, object]]]) -> None:
    """Each at its time, or as soon after it as it goes."""
    topic = deployment.topics.events_raw
    for at_ms, message in messages:
        await asyncio.sleep(max(0, at_ms - SystemClock().now_ms()) / 1_000)
        key = str(message["userId"]).encode()
        record = (key, orjson.dumps(message), ())
        await deployment.producer.send({(topic, partition_of(key, deployment.partitions)): [record]})


def document(made: Scenario, prefix: str, brokers: str, partitions: int) -> dict[str, Any]:
    """The configuration file's, without destinations."""

    def texts(kind: str) -> list[dict[str, object]]:
        return [
            {
                "key": each.key,
                "query": each.query,
                "type": each.scope,
                "include_anonymous_users": each.include_anonymous_users,
            }
            for each in made.definitions
            if each.kind == kind
        ]

    return {
        "kafka": {"brokers": brokers, "topic_prefix": prefix, "partitions": partitions},
        "audiences": texts("audience"),
        "traits": texts("trait"),
    }


@contextmanager
def happening_soon() -> Iterator[None]:
    """Have the generator put its people and its dates at the time that comes, not at its own."""
    start_ms = (SystemClock().now_ms() // 1_000 + STARTING_S) * 1_000
    modules = (scenario_people, scenario_queries)
    scales, start = dict(scenario_words.SCALES), scenario_words.START_MS
    scenario_words.SCALES["seconds"] = replace(scales["seconds"], span_ms=SPAN_MS)
    for module in modules:
        module.START_MS = start_ms
    try:
        yield
    finally:
        scenario_words.SCALES.update(scales)
        for module in modules:
            module.START_MS = start
