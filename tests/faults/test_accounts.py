"""Random scenarios with accounts in real time over the broker: with a worker that dies halfway, or at a failpoint; or
with several that join and die. What users bring along to accounts goes in pieces.

One seed again: SEED=1234 pytest tests/faults/test_accounts.py
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app.embedded.broker import EmbeddedBroker
from app.topics import Topics
from tests.faults.account_checks import Figures, check_accounts
from tests.faults.deployment import deployed
from tests.faults.realtime import SEED, death_of, document, happening_soon, relay, rounds, two_lives
from tests.scenarios import Scenario, asking, joined_late, scenario
from tests.simulation.checks import arrivals

COUNT = 1 if SEED else int(os.environ.get("HEADWATER_SCENARIOS", "4"))
PARTITIONS = 2
TOGETHER = 4
"""Scenarios that are played at once, each by workers of its own."""
DESTINATION = "hook"
IN_PIECES = "tests.faults.in_pieces"


@pytest.mark.timeout(max(900, 150 * COUNT))
async def test_accounts_in_real_time_equal_the_oracle(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> None:
    played = await rounds(
        lambda seed: _play(seed, broker.bootstrap, tmp_path / str(seed), f"{topics.prefix}{seed}."),
        COUNT, TOGETHER, __file__,
    )  # fmt: skip
    assert sum(each.changes_of_accounts for each in played) > 5 * COUNT, "too little happened to accounts"
    print(f"{sum(each.sequences - each.tied for each in played)} sequences of accounts are the oracle's to the instant")
    assert sum(each.told for each in played) > 5 * COUNT, "too little was told to users"
    assert sum(each.pieces for each in played) > COUNT, "nobody brought much along"
    assert any(each.found_out_later for each in played), "nobody had to know what an account was before"


async def _play(seed: int, brokers: str, folder: Path, prefix: str) -> Figures:
    with happening_soon():
        made = scenario(
            seed, scale="seconds", events=100, profiles=12, definitions=30, late=True, accounts=True,
            where_traits=False,
        )  # fmt: skip
        random = Random(f"asking {seed}")
        late = joined_late(made, random)
        made = replace(late, definitions=(*late.definitions, *asking(random, "seconds", answers=True)))
    try:
        async with deployed(brokers, folder, _connected(made, prefix, brokers), IN_PIECES) as deployment:
            random, sent = Random(seed), arrivals(made, PARTITIONS)
            if seed % 2:
                rested_ms = await relay(deployment, sent, made.until_ms, random, death_of(random))
            else:
                rested_ms = await two_lives(deployment, sent, made.until_ms, death_of(random))
            until_ms = rested_ms - 1_500
            return await check_accounts(deployment, until_ms, DESTINATION)
    except Exception as error:
        error.add_note(f"again: SEED={seed} python -m pytest tests/faults/test_accounts.py")
        raise


def _connected(made: Scenario, prefix: str, brokers: str) -> dict[str, Any]:
    """With every definition of accounts connected, so that all that is told of them is there."""
    connect = [
        {each.kind: each.key, "calls": ["identify", "group"]} for each in made.definitions if each.scope == "ACCOUNTS"
    ]
    return document(made, prefix, brokers, PARTITIONS) | {
        "destinations": [{"name": DESTINATION, "type": "kafka", "connect": connect}]
    }
