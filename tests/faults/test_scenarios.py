"""Random scenarios of the evaluated language in real time over the broker, each with a worker that is killed halfway.

One seed again: SEED=1234 pytest tests/faults/test_scenarios.py
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

import pytest

from app.clock import SystemClock
from app.embedded.broker import EmbeddedBroker
from app.topics import Topics
from tests.faults.checks import Figures, check_everything
from tests.faults.deployment import deployed
from tests.faults.realtime import STARTING_S, document, happening, send
from tests.scenarios import scenario

SEED = os.environ.get("SEED")
COUNT = 1 if SEED else int(os.environ.get("HEADWATER_SCENARIOS", "12"))
PARTITIONS = 2
SPAN_MS = 20_000
"""How long people do things; the windows of seconds stay as long as they are."""
TOGETHER = 6
"""Scenarios that are played at once, each by a worker of its own."""
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
    with happening(start_ms, SPAN_MS):
        made = scenario(seed, scale="seconds", events=100, profiles=12, definitions=30, late=True)
    try:
        async with deployed(brokers, folder, document(made, prefix, brokers, PARTITIONS)) as deployment:
            await deployment.start()
            await deployment.ready()
            halfway = len(made.messages) // 2
            await send(deployment, made.messages[:halfway])
            await deployment.kill()
            await deployment.start()
            await send(deployment, made.messages[halfway:])
            await deployment.ready()
            await asyncio.sleep(max(0, made.until_ms - now_ms()) / 1_000)
            await deployment.at_rest(QUIET_S)
            until_ms = now_ms() - 1_000
            await deployment.stop()
            return Played(seed, await check_everything(deployment, until_ms, lambda value: True))
    except Exception as error:
        error.add_note(f"again: SEED={seed} python -m pytest tests/faults/test_scenarios.py")
        raise
