"""Random scenarios of people of several identifiers, who turn out to be one another, in real time over the broker, each
with workers that join and are killed.

One seed again: SEED=1234 pytest tests/faults/test_people.py
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from app.configuration import identity_rules
from app.embedded.broker import EmbeddedBroker
from app.identity.rules import IdentityRules
from app.topics import Topics
from tests.faults.checks import check_stores
from tests.faults.deployment import deployed
from tests.faults.realtime import SEED, death_of, document, happening_soon, relay, rounds
from tests.faults.remains import remains_of
from tests.simulation.check_people import check_people
from tests.simulation.people import Kind, people

COUNT = 1 if SEED else int(os.environ.get("HEADWATER_SCENARIOS", "3"))
PARTITIONS = 3
TOGETHER = 3
"""Scenarios that are played at once, each by two workers of its own."""
KINDS: tuple[Kind, ...] = ("together", "spread", "tangled")


@pytest.mark.timeout(max(900, 150 * COUNT))
async def test_people_in_real_time_equal_the_oracle(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> None:
    played = await rounds(
        lambda seed: _play(seed, broker.bootstrap, tmp_path / str(seed), f"{topics.prefix}{seed}."),
        COUNT, TOGETHER, __file__,
    )  # fmt: skip
    counts = sum(played, Counter[str]())
    print(dict(counts))
    assert counts["merges"] >= COUNT, "too few turned out to be one another to prove anything"
    assert counts["finals"] > 5 * COUNT


async def _play(seed: int, brokers: str, folder: Path, prefix: str) -> Counter[str]:
    random, kind = Random(seed), KINDS[seed % len(KINDS)]
    with happening_soon():
        # Of merges and traits inside `where` the oracle has one or the other; the former are what this is about.
        who = people(
            seed, PARTITIONS, kind, scale="seconds", events=80, profiles=10, definitions=20, where_traits=False
        )
    try:
        async with deployed(brokers, folder, document(who.made, prefix, brokers, PARTITIONS)) as deployment:
            assert identity_rules(deployment.settings) == IdentityRules(), "what the oracle goes by"
            rested_ms = await relay(deployment, who.arrivals, who.made.until_ms, random, death_of(random))
            until_ms = rested_ms - 1_000
            changelog = await deployment.read(deployment.topics.profiles_changelog)
            check_stores(deployment.stored(), changelog, until_ms)
            return check_people(await remains_of(deployment, IdentityRules(), 1), who.made, kind, until_ms)
    except Exception as error:
        error.add_note(f"again: SEED={seed} python -m pytest tests/faults/test_people.py   ({kind})")
        raise
