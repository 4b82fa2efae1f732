"""People who are split more than once while resolvers are killed: each of their messages counts with one profile.

More: HEADWATER_PARTED=600 pytest tests/simulation -k parted_people
One seed again: SEED=1234 pytest tests/simulation -k one_parted
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.simulation.parted import run_parted

WORLDS = int(os.environ.get("HEADWATER_PARTED", "24"))
FIRST_SEED = int(os.environ.get("HEADWATER_SEED", "1000"))
BLOCKS = max(2, WORLDS // 100)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_messages_of_parted_people_count_once(block: int) -> None:
    seeds = range(FIRST_SEED + block, FIRST_SEED + WORLDS, BLOCKS)
    print(f"\n{seeds}")
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts += run_parted(seed)
    print(dict(counts))
    assert counts["split_again"] > len(seeds) // 3, counts
    assert counts["kills"] > len(seeds), counts


@pytest.mark.skipif("SEED" not in os.environ, reason="for replaying a seed that failed")
def test_one_parted() -> None:
    print(dict(run_parted(int(os.environ["SEED"]))))
