"""Random scenarios of the evaluated language in real time over the broker, each with a worker that is killed halfway.

One seed again: SEED=1234 pytest tests/faults/test_scenarios.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.embedded.broker import EmbeddedBroker
from app.topics import Topics
from tests.faults.checks import Figures, check_everything
from tests.faults.deployment import deployed
from tests.faults.realtime import SEED, document, happening_soon, rounds, two_lives
from tests.scenarios import scenario
from tests.simulation.checks import arrivals

COUNT = 1 if SEED else int(os.environ.get("HEADWATER_SCENARIOS", "6"))
PARTITIONS = 2
TOGETHER = 6
"""Scenarios that are played at once, each by a worker of its own."""


@pytest.mark.timeout(900)
async def test_scenarios_in_real_time_equal_the_oracle(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> None:
    played = await rounds(
        lambda seed: _play(seed, broker.bootstrap, tmp_path / str(seed), f"{topics.prefix}{seed}."),
        COUNT, TOGETHER, __file__,
    )  # fmt: skip
    assert sum(each.changes for each in played) > 50 * COUNT, "too little happened to prove anything"


async def _play(seed: int, brokers: str, folder: Path, prefix: str) -> Figures:
    with happening_soon():
        made = scenario(seed, scale="seconds", events=100, profiles=12, definitions=30, late=True)
    try:
        async with deployed(brokers, folder, document(made, prefix, brokers, PARTITIONS)) as deployment:
            until_ms = await two_lives(deployment, arrivals(made, PARTITIONS), made.until_ms) - 1_000
            return await check_everything(deployment, until_ms, lambda value: True)
    except Exception as error:
        error.add_note(f"again: SEED={seed} python -m pytest tests/faults/test_scenarios.py")
        raise
