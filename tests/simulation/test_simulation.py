"""The stream's real stages and commit protocol under a seeded scheduler, against the oracle.

One seed again: SEED=1234 pytest tests/simulation -k one_seed
"""

from __future__ import annotations

import os

import pytest

from app.profiles import codec, parts
from app.profiles.store import PART
from tests.simulation.checks import run_and_check
from tests.simulation.world import Faults

CALM = Faults()
LAGGING = Faults(lag=0.15, outage=0.01, resend=True)
DEADLY = Faults(lag=0.15, outage=0.003, resend=True, crash=0.03, wipe=0.4)

SEEDS = int(os.environ.get("HEADWATER_SIMULATIONS", "12"))


@pytest.mark.parametrize("faults", [CALM, LAGGING, DEADLY], ids=["calm", "lagging", "deadly"])
@pytest.mark.parametrize("block", range(4))
def test_changes_and_finals_equal_the_oracle(faults: Faults, block: int) -> None:
    for seed in range(block * SEEDS, (block + 1) * SEEDS):
        run_and_check(seed, faults)


def test_long_lists_in_parts_survive_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # Everything with more than two entries counts as long here, and every other entry is a cut.
    monkeypatch.setattr(codec, "WHOLE_BYTES_MAX", 0)
    monkeypatch.setattr(parts, "ENTRIES_INLINE_MAX", 2)
    monkeypatch.setattr(parts, "_CUT_MASK", 1)
    in_parts = 0
    for seed in range(SEEDS):
        world = run_and_check(seed, DEADLY)
        in_parts += sum(key.startswith(PART) for host in world.computers for key in host.store.data)
    assert in_parts > 5 * SEEDS, "too few parts to prove anything"


def test_kills_hit_work_in_flight() -> None:
    world = run_and_check(3, DEADLY)
    assert world.crashes >= 3, "a run without crashes proves nothing about them"


@pytest.mark.skipif("SEED" not in os.environ, reason="for replaying a seed that failed")
def test_one_seed() -> None:
    run_and_check(int(os.environ["SEED"]), DEADLY)
