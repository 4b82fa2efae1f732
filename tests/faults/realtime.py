"""The oracle's scenarios of seconds, played in real time: as a configuration, and message by message."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from random import Random, SystemRandom
from typing import Any, TypeVar

from app.clock import SystemClock
from app.observability.failpoints import Failpoint
from tests.faults.deployment import Deployment, NeverHappened
from tests.oracle import scenario_people, scenario_queries, scenario_words
from tests.scenarios import Scenario
from tests.simulation.world import Arrival

STARTING_S = 20
"""Six workers start at once, on two cores."""
SPAN_MS = 20_000
"""How long people do things; the windows of seconds stay as long as they are."""
QUIET_S = 3.0
SEED = os.environ.get("SEED")
FAILPOINTS = (
    Failpoint.AFTER_COMPUTE, Failpoint.MID_OUTPUTS, Failpoint.AFTER_OUTPUTS_ACK, Failpoint.MID_CHANGELOG,
    Failpoint.AFTER_CHANGELOG_ACK, Failpoint.AFTER_STORE_WRITE,
)  # fmt: skip

Figures = TypeVar("Figures")


async def rounds(play: Callable[[int], Awaitable[Figures]], count: int, together: int, file: str) -> list[Figures]:
    """Play so many scenarios, some at once, each by workers of its own; from `SEED` on, or from any."""
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


async def two_lives(deployment: Deployment, arrivals: Sequence[Arrival], until_ms: int, death: str = "") -> int:
    """Play a scenario to its end with a worker that is killed halfway, if it has not died at a failpoint before.

    Returns:
        The instant at which everything was at rest. The worker is stopped.
    """
    await deployment.start(death)
    with suppress(NeverHappened) if death else nullcontext():  # it may die before that
        await deployment.ready()
    halfway = len(arrivals) // 2
    await send(deployment, arrivals[:halfway])
    await deployment.kill()
    await deployment.start()
    await send(deployment, arrivals[halfway:])
    return await _ended(deployment, [deployment], until_ms)


async def relay(
    deployment: Deployment, arrivals: Sequence[Arrival], until_ms: int, random: Random, death: str = ""
) -> int:
    """Play a scenario to its end with workers that come and go: a second one joins, either is killed, a third joins.

    Args:
        death: A failpoint at which the first dies, if it comes by that before it would be killed.

    Returns:
        The instant at which everything was at rest. The workers are stopped.
    """
    workers = [deployment, deployment.colleague(), deployment.colleague()]
    first, second, third = workers
    quarter = len(arrivals) // 4
    await first.start(death)
    await send(deployment, arrivals[:quarter])
    await second.start()
    await send(deployment, arrivals[quarter : 2 * quarter])
    # Whoever has a failpoint before it cannot live on: it may come to it at any time.
    await (first if death else random.choice((first, second))).kill()
    await send(deployment, arrivals[2 * quarter : 3 * quarter])
    await third.start()
    await send(deployment, arrivals[3 * quarter :])
    return await _ended(deployment, [each for each in workers if each.is_running], until_ms)


async def _ended(deployment: Deployment, running: Sequence[Deployment], until_ms: int) -> int:
    """Wait until all that was to happen has happened, and stop; gives the instant."""
    now_ms = SystemClock().now_ms
    for each in running:
        await each.ready()
    await asyncio.sleep(max(0, until_ms - now_ms()) / 1_000)
    await deployment.at_rest(QUIET_S)
    rested_ms = now_ms()
    for each in running:
        await each.stop()
    return rested_ms


def death_of(random: Random) -> str:
    """A failpoint at which a worker ends, in any of its lanes; empty for none."""
    how = random.choice((None, *FAILPOINTS))
    return f"{how}:{random.randint(8, 60)}" if how is not None else ""


async def send(deployment: Deployment, arrivals: Sequence[Arrival]) -> None:
    """Each at its time, or as soon after it as it goes."""
    topic = deployment.topics.events_raw
    for each in arrivals:
        await asyncio.sleep(max(0, each.at_ms - SystemClock().now_ms()) / 1_000)
        await deployment.producer.send({(topic, each.partition): [(None, each.value, ())]})


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
