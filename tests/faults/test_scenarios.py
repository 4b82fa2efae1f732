"""Random scenarios of the evaluated language in real time over the broker, each with a worker that is killed halfway.

One seed again: SEED=1234 pytest tests/faults/test_scenarios.py
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import SystemRandom

import orjson
import pytest

from app.clock import SystemClock
from app.embedded.broker import EmbeddedBroker
from app.topics import Topics, partition_of
from tests.faults.checks import Figures, check_everything
from tests.faults.deployment import Deployment, deployed
from tests.oracle import scenario_people, scenario_queries, scenario_words
from tests.scenarios import Scenario, scenario

SEED = os.environ.get("SEED")
COUNT = 1 if SEED else int(os.environ.get("HEADWATER_SCENARIOS", "12"))
PARTITIONS = 2
SPAN_MS = 20_000
"""How long people do things; the windows of seconds stay as long as they are."""
TOGETHER = 6
"""Scenarios that are played at once, each by a worker of its own."""
STARTING_S = 20
"""Six workers start at once, on two cores."""
QUIET_S = 3.0


@dataclass(frozen=True)
class Played:
    seed: int
    figures: Figures


@pytest.mark.timeout(900)
async def test_scenarios_in_real_time_equal_the_oracle(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> None:
    first = int(SEED) if SEED else SystemRandom().randrange(1_000_000)
    played: list[Played] = []
    for start in range(first, first + COUNT, TOGETHER):
        seeds = range(start, min(start + TOGETHER, first + COUNT))
        print(f"seeds {seeds.start} to {seeds.stop - 1}; one again: SEED={seeds.start} pytest {__file__}")
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_play(seed, broker.bootstrap, tmp_path / str(seed), f"{topics.prefix}{seed}."))
                for seed in seeds
            ]
        played += [task.result() for task in tasks]
    for each in played:
        print(f"seed {each.seed}: {each.figures}")
    assert sum(each.figures.changes for each in played) > 50 * COUNT, "too little happened to prove anything"


async def _play(seed: int, brokers: str, folder: Path, prefix: str) -> Played:
    now_ms = SystemClock().now_ms
    start_ms = (now_ms() // 1_000 + STARTING_S) * 1_000
    with _happening(start_ms, SPAN_MS):
        made = scenario(seed, scale="seconds", events=100, profiles=12, definitions=30, late=True)
    try:
        async with deployed(brokers, folder, _document(made, prefix, brokers)) as deployment:
            await deployment.start()
            await deployment.ready()
            halfway = len(made.messages) // 2
            await _send(deployment, made.messages[:halfway])
            await deployment.kill()
            await deployment.start()
            await _send(deployment, made.messages[halfway:])
            await deployment.ready()
            await asyncio.sleep(max(0, made.until_ms - now_ms()) / 1_000)
            await deployment.at_rest(QUIET_S)
            until_ms = now_ms() - 1_000
            await deployment.stop()
            return Played(seed, await check_everything(deployment, until_ms, lambda value: True))
    except Exception as error:
        error.add_note(f"again: SEED={seed} python -m pytest tests/faults/test_scenarios.py")
        raise


async def _send(deployment: Deployment, messages: list[tuple[int, dict[str, object]]]) -> None:
    """Each at its time, or as soon after it as it goes."""
    topic = deployment.topics.events_raw
    for at_ms, message in messages:
        await asyncio.sleep(max(0, at_ms - SystemClock().now_ms()) / 1_000)
        key = str(message["userId"]).encode()
        record = (key, orjson.dumps(message), ())
        await deployment.producer.send({(topic, partition_of(key, PARTITIONS)): [record]})


def _document(made: Scenario, prefix: str, brokers: str) -> dict[str, object]:
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
        "kafka": {"brokers": brokers, "topic_prefix": prefix, "partitions": PARTITIONS},
        "audiences": texts("audience"),
        "traits": texts("trait"),
    }


@contextmanager
def _happening(start_ms: int, span_ms: int) -> Iterator[None]:
    """Have the generator put its people and its dates at another time than its own."""
    modules = (scenario_people, scenario_queries)
    scales, start = dict(scenario_words.SCALES), scenario_words.START_MS
    scenario_words.SCALES["seconds"] = replace(scales["seconds"], span_ms=span_ms)
    for module in modules:
        module.START_MS = start_ms
    try:
        yield
    finally:
        scenario_words.SCALES.update(scales)
        for module in modules:
            module.START_MS = start
