"""The stream's real stages and commit protocol under a seeded scheduler, against the oracle.

More: HEADWATER_SIMULATIONS=1000 and HEADWATER_PEOPLE=1000 pytest tests/simulation
One seed again: SEED=1234 pytest tests/simulation -k one_seed
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from app.profiles import codec, parts
from app.profiles.store import PART
from app.stages import link
from tests.simulation.check_people import run_people
from tests.simulation.checks import run_and_check
from tests.simulation.people import Kind
from tests.simulation.world import Faults

CALM = Faults()
LAGGING = Faults(lag=0.15, outage=0.01, resend=True)
DEADLY = Faults(lag=0.15, outage=0.003, resend=True, crash=0.03, wipe=0.4)
SLOW = Faults(lag=0.3, outage=0.003, slow=("link", "news"), crash=0.004, dies=("link", "compute"), wipe=0.4)
NEWS = Faults(lag=0.1, outage=0.03, crash=0.01, dies=("compute",), wipe=0.4)
AGAIN = Faults(
    lag=0.1, outage=0.01, crash=0.03, dies=("resolve", "compute"), wipe=0.4, slow=("compute",), slow_commits=True
)

SHAPES: list[tuple[Faults, Kind]] = [
    (CALM, "together"), (LAGGING, "together"), (SLOW, "together"), (DEADLY, "together"),
    (DEADLY, "spread"), (NEWS, "spread"), (NEWS, "tangled"), (AGAIN, "tangled"), (DEADLY, "tangled"),
]  # fmt: skip

FIRST_SEED = int(os.environ.get("HEADWATER_SEED", "800000"))
PEOPLE = int(os.environ.get("HEADWATER_PEOPLE", "5"))
TWINS_SEED = int(os.environ.get("HEADWATER_SEED", "1000"))
TWINS = int(os.environ.get("HEADWATER_TWINS", "1"))
SEEDS = int(os.environ.get("HEADWATER_SIMULATIONS", "5"))


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


@pytest.mark.parametrize(
    ("faults", "kind"), SHAPES, ids=[f"{kind}-{number}" for number, (_, kind) in enumerate(SHAPES)]
)
def test_people_who_turn_out_to_be_one_equal_the_oracle(faults: Faults, kind: Kind) -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + PEOPLE)
    print(f"\n{seeds}")
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts += run_people(seed, faults, kind)
    print(dict(counts))
    assert counts["merges"] >= PEOPLE // 2
    assert counts["finals"] > 20 * PEOPLE
    assert kind != "together" or counts["sequences"] > 2 * PEOPLE
    assert not faults.crash or counts["crashes"] > PEOPLE // 2


def test_messages_of_one_id_that_two_people_had_counted_equal_the_oracle() -> None:
    seeds = range(TWINS_SEED, TWINS_SEED + TWINS)
    print(f"\n{seeds}")
    counts: Counter[str] = Counter()
    for seed in seeds:
        for faults, kind in SHAPES:
            counts += run_people(seed, faults, kind, twins=True)
    print(dict(counts))
    assert counts["recounts"] > TWINS
    assert counts["crashes"] > TWINS


def test_link_takes_fewer_requests_than_it_was_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CHANGELOG_BYTES", 300)
    for seed in range(FIRST_SEED, FIRST_SEED + 2):
        run_people(seed, DEADLY, "tangled")


def test_kills_hit_work_in_flight() -> None:
    world = run_and_check(3, DEADLY)
    assert world.crashes >= 3, "a run without crashes proves nothing about them"


@pytest.mark.skipif("SEED" not in os.environ, reason="for replaying a seed that failed")
@pytest.mark.parametrize("twins", [False, True])
@pytest.mark.parametrize(("faults", "kind"), SHAPES)
def test_one_seed_of_people(faults: Faults, kind: Kind, twins: bool) -> None:
    run_people(int(os.environ["SEED"]), faults, kind, twins=twins)


@pytest.mark.skipif("SEED" not in os.environ, reason="for replaying a seed that failed")
@pytest.mark.parametrize("faults", [LAGGING, DEADLY])
def test_one_seed(faults: Faults) -> None:
    run_and_check(int(os.environ["SEED"]), faults)
