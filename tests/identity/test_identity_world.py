"""Resolve and link under a scheduler that kills them: it ends in one assignment, nothing is lost and all is in order.

HEADWATER_WORLDS=2000 pytest tests/identity -k world
One seed again: SEED=1234 pytest tests/identity -k one_world
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from random import Random

import orjson
import pytest

from app.identity.rules import IdentityRules, Limit, LinkRules
from tests.identity.checks import check
from tests.identity.messages import linked_messages, scenario_messages, tangled_messages
from tests.simulation.world import Arrival, Faults, World

BLOCKS = 4
WORLDS = int(os.environ.get("HEADWATER_WORLDS", "120"))
FIRST_SEED = int(os.environ.get("HEADWATER_SEED", "700000"))

PARTITIONS = 3
QUIET = Faults()
SLOW = Faults(slow=("link",))
STALE = Faults(slow=("news",), crash=0.002, dies=("link",), wipe=0.3)
LINK_DIES = Faults(crash=0.02, dies=("link",), wipe=0.3)
ALL_DIE = Faults(crash=0.03, dies=("link", "resolve", "resolve"), wipe=0.3)
RULES_CHANGE = Faults(crash=0.02, dies=("link", "resolve"), wipe=0.3, change_rules=0.004)
SHAPES = (QUIET, SLOW, STALE, STALE, LINK_DIES, ALL_DIE, RULES_CHANGE)


def run_and_check(seed: int) -> Counter[str]:
    """One world; the seed names its messages, its schedule and its faults."""
    random = Random(seed)
    faults = SHAPES[seed % len(SHAPES)]
    rules = LinkRules(default_limit=Limit(random.choice((5, 5, 60))))
    kind = random.random()
    if kind < 0.3:
        sent = scenario_messages(seed)
    elif kind < 0.6:
        sent = tangled_messages(random, random.choice((20, 150)), 0.7)
    else:
        sent = linked_messages(random, random.choice((50, 150)))
    lag = random.choice((0.1, 0.3, 1.0))
    at_ms = 1_000
    arrivals: list[Arrival] = []
    for number, message in enumerate(sent):
        at_ms += random.randrange(3)
        raw = orjson.dumps({**message, "messageId": f"m{number}"})
        arrivals.append(Arrival(at_ms, random.randrange(PARTITIONS), raw))
    identity = IdentityRules(link=rules)
    try:
        world = World(
            seed, None, arrivals, at_ms, partitions=PARTITIONS, faults=replace(faults, lag=lag), rules=identity
        )
        world.run()
        # A restart forgets who is waiting: order across it is not promised.
        return check(world.remains(), in_order=not world.resolve_crashes)
    except Exception as error:
        error.add_note(f"replay with: SEED={seed} python -m pytest tests/identity -k one_world   ({faults})")
        raise


@pytest.mark.parametrize("block", range(BLOCKS))
def test_worlds_come_to_rest_in_one_identity(block: int) -> None:
    # Block by block, so that several processes can share the work. The kinds of faults take turns within a block.
    seeds = range(FIRST_SEED + block, FIRST_SEED + WORLDS, BLOCKS)
    print(f"\n{seeds}")
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts += run_and_check(seed)
    print(dict(counts))
    assert counts["merges"] > len(seeds)
    assert counts["kills"] > len(seeds)
    assert counts["crossing"] > 0 or len(seeds) < 100
    assert counts["straight"] > counts["messages"] // 10
    assert counts["copies"] > counts["messages"]


@pytest.mark.skipif("SEED" not in os.environ, reason="for replaying a seed that failed")
def test_one_world() -> None:
    print(dict(run_and_check(int(os.environ["SEED"]))))
