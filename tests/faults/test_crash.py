"""The crash test in short. The long form: python -m tests.faults --events 200000 --kills 20"""

from __future__ import annotations

import os
from pathlib import Path
from random import SystemRandom

import pytest

from app.embedded.broker import EmbeddedBroker
from app.topics import Topics
from tests.faults.crash import NAMED, Plan, deaths, run

SEED = int(os.environ.get("SEED", SystemRandom().randrange(1_000_000)))
EVENTS = int(os.environ.get("HEADWATER_CRASH_EVENTS", "10000"))
KILLS = int(os.environ.get("HEADWATER_CRASH_KILLS", "8"))

# Each failpoint in one of the modes, so that the short form stays short; a restore is the longer without a disk.
HALVES = {False: NAMED[1::2], True: NAMED[::2]}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("wipe", [False, True], ids=["keeping", "deleting"])
async def test_killed_again_and_again_it_equals_the_oracle(
    wipe: bool, broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    plan = Plan(SEED, EVENTS, deaths(SEED, HALVES[wipe], KILLS), wipe)
    print(f"replay with: SEED={SEED} python -m pytest tests/faults/test_crash.py   ({plan})")
    outcome = await run(plan, broker.bootstrap, tmp_path, topics.prefix)
    print(outcome)
    assert outcome.figures.changes > plan.events / 10, "too little happened to prove anything"
