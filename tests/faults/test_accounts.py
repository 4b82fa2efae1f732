"""Random scenarios with accounts in real time over the broker, each with a worker that dies halfway, or at a failpoint.

One seed again: SEED=1234 pytest tests/faults/test_accounts.py
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest

from app.clock import SystemClock
from app.embedded.broker import EmbeddedBroker
from app.observability.failpoints import Failpoint
from app.topics import Topics
from tests.faults.account_checks import Figures, check_accounts
from tests.faults.deployment import NeverHappened, deployed
from tests.faults.realtime import STARTING_S, document, happening, send
from tests.scenarios import Scenario, scenario

SEED = os.environ.get("SEED")
COUNT = 1 if SEED else int(os.environ.get("HEADWATER_SCENARIOS", "4"))
PARTITIONS = 2
SPAN_MS = 20_000
"""How long people do things; the windows of seconds stay as long as they are."""
TOGETHER = 4
"""Scenarios that are played at once, each by a worker of its own."""
QUIET_S = 3.0
DESTINATION = "hook"
FAILPOINTS = (
    Failpoint.AFTER_COMPUTE, Failpoint.MID_OUTPUTS, Failpoint.AFTER_OUTPUTS_ACK, Failpoint.MID_CHANGELOG,
    Failpoint.AFTER_CHANGELOG_ACK, Failpoint.AFTER_STORE_WRITE,
)  # fmt: skip


@dataclass(frozen=True)
class Played:
    seed: int
    figures: Figures


@pytest.mark.timeout(900)
async def test_accounts_in_real_time_equal_the_oracle(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> None:
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
    assert sum(each.figures.changes_of_accounts for each in played) > 5 * COUNT, "too little happened to accounts"
    sequences = sum(each.figures.sequences for each in played)
    as_expected = sum(each.figures.sequences_as_expected for each in played)
    print(f"{as_expected} of {sequences} sequences of accounts are the oracle's to the instant")
    assert as_expected > sequences / 2
    assert sum(each.figures.told for each in played) > 5 * COUNT, "too little was told to users"


async def _play(seed: int, brokers: str, folder: Path, prefix: str) -> Played:
    now_ms = SystemClock().now_ms
    start_ms = (now_ms() // 1_000 + STARTING_S) * 1_000
    with happening(start_ms, SPAN_MS):
        made = scenario(
            seed, scale="seconds", events=100, profiles=12, definitions=30, late=True, accounts=True,
            where_traits=False,
        )  # fmt: skip
    try:
        async with deployed(brokers, folder, _connected(made, prefix, brokers)) as deployment:
            await deployment.start(_death(seed))
            with suppress(NeverHappened):  # it may die before that
                await deployment.ready()
            halfway = len(made.messages) // 2
            await send(deployment, made.messages[:halfway])
            await deployment.kill()
            await deployment.start()
            await send(deployment, made.messages[halfway:])
            await deployment.ready()
            await asyncio.sleep(max(0, made.until_ms - now_ms()) / 1_000)
            await deployment.at_rest(QUIET_S)
            until_ms = now_ms() - 1_500
            await deployment.stop()
            return Played(seed, await check_accounts(deployment, until_ms, DESTINATION))
    except Exception as error:
        error.add_note(f"again: SEED={seed} python -m pytest tests/faults/test_accounts.py")
        raise


def _death(seed: int) -> str:
    """Where the first life of the worker ends, in the lanes of users or of accounts; empty: when half is sent."""
    random = Random(seed)
    how = random.choice((None, *FAILPOINTS))
    return f"{how}:{random.randint(8, 60)}" if how is not None else ""


def _connected(made: Scenario, prefix: str, brokers: str) -> dict[str, Any]:
    """With every definition of accounts connected, so that all that is told of them is there."""
    connect = [
        {each.kind: each.key, "calls": ["identify", "group"]} for each in made.definitions if each.scope == "ACCOUNTS"
    ]
    return document(made, prefix, brokers, PARTITIONS) | {
        "destinations": [{"name": DESTINATION, "type": "kafka", "connect": connect}]
    }
