"""Users, and the accounts that they belong to, under a seeded scheduler, against the oracle.

More: HEADWATER_ACCOUNTS=500 pytest tests/simulation -k accounts
One seed again: SEED=1234 pytest tests/simulation -k one_seed_of_accounts
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.simulation.check_accounts import run_accounts
from tests.simulation.world import Faults

CALM = Faults()
KILLED = Faults(resend=True, crash=0.03, wipe=0.4, dies=("all", "resolve", "compute", "accounts"))
LAGGING = Faults(lag=0.15, outage=0.003, resend=True)
DEADLY = Faults(
    lag=0.15, outage=0.003, resend=True, crash=0.03, wipe=0.4, dies=("all", "resolve", "compute", "accounts")
)
SHAPES = {
    "calm": (CALM, 2), "killed": (KILLED, 2), "lagging": (LAGGING, 2), "deadly": (DEADLY, 2),
    "killed in three partitions": (KILLED, 3),
}  # fmt: skip
"""Faults, and how many partitions. What lags comes to an account in any order."""

FIRST_SEED = int(os.environ.get("HEADWATER_SEED", "810000"))
SEEDS = int(os.environ.get("HEADWATER_ACCOUNTS", "3"))


@pytest.mark.parametrize(("faults", "partitions"), SHAPES.values(), ids=SHAPES)
def test_accounts_equal_the_oracle(faults: Faults, partitions: int) -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + SEEDS)
    print(f"\n{seeds}")
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts += run_accounts(seed, faults, partitions)
    print(dict(counts))
    assert counts["flips"] > 2 * SEEDS, "too little happened to accounts to prove anything"
    assert counts["found_out_later"] >= SEEDS // 3, "nobody had to know what an account was before"
    assert not faults.crash or counts["crashes"] > SEEDS // 2


@pytest.mark.skipif("SEED" not in os.environ, reason="for replaying a seed that failed")
@pytest.mark.parametrize(("faults", "partitions"), SHAPES.values(), ids=SHAPES)
def test_one_seed_of_accounts(faults: Faults, partitions: int) -> None:
    run_accounts(int(os.environ["SEED"]), faults, partitions)
