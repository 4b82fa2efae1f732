"""People who are split more than once while resolvers are killed: each of their messages counts with one profile.

More: HEADWATER_PARTED=600 pytest tests/simulation -k parted_people
One seed again: SEED=1234 pytest tests/simulation -k one_parted
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.planted import ROOT, Planted, copied, planted_in
from tests.simulation.parted import Told, check, run_parted

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


HERE = Path(__file__).relative_to(ROOT)
PHONE, ANN = ("anonymous_id", "phone"), ("user_id", "ann")


def test_what_is_read_again_after_they_have_left_twice_is_whose_it_was() -> None:
    world = Told()
    world.say("m0", userId="ann", anonymousId="tv")
    world.say("both", userId="ann", anonymousId="phone")
    world.split(PHONE)  # with "both"
    world.say("again", userId="ann", anonymousId="phone")
    world.split(ANN)
    world.split(PHONE)
    world.kill_resolvers()
    assert check(world)["splits"] == 3


def test_what_was_decided_among_others_is_not_asked_for_where_it_has_never_been() -> None:
    """The first profile that one of them left has never had the other."""
    world = Told()
    world.say("m0", userId="ann", anonymousId="tv")
    world.say("m1", anonymousId="phone", context={"traits": {"email": "car@example.org"}})
    world.split(ANN)
    world.say("m2", userId="ann", anonymousId="phone")
    world.say("both", userId="ann", anonymousId="phone")
    world.split(PHONE)  # with "both"
    world.split(ANN)
    world.say("m3", userId="ann", anonymousId="tv")
    world.kill_resolvers()
    assert check(world)["splits"] == 3


def test_what_went_straight_by_who_had_not_heard_is_not_decided_as_new() -> None:
    """Though it is newer than the split; the phone is somebody else's by then, and no limit lets the two be one."""
    world = Told()
    world.say("m0", userId="ann", anonymousId="phone")
    world.hears = False
    world.split(PHONE)
    world.say("both", userId="ann", anonymousId="phone")  # passed on to the phone's
    world.say("m1", userId="bob", anonymousId="phone")
    world.hears = True
    world.kill_resolvers()
    assert check(world)["splits"] == 1


PLANTED = [
    Planted(
        "who was taken out goes straight like others",
        "app/stages/resolve.py",
        "return len(found) > 1 and not apart.isdisjoint(found)",
        "return False",
    ),
    Planted(
        "what is read again is decided again",
        "app/stages/link.py",
        "if not batch.decided.take(asked.id, usable, asked.at):",
        "if False:",
    ),
    Planted(
        "what may have gone straight is decided without the profile that had it",
        "app/identity/graph.py",
        "if not (is_old or is_again) or any(",
        "if True or any(",
    ),
    Planted(
        "what is read again is taken for new",
        "app/stages/resolve.py",
        "again=record.offset < self._read_next,",
        "again=False,",
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("parted"))


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_bug_is_found(copy: Path, planted: Planted) -> None:
    with planted_in(copy, planted):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(copy / HERE), "-k", "test_what"],
            cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
    assert done.returncode == 1, f"nobody noticed: {planted.name}\n{done.stdout}{done.stderr}"
    assert "with how many profiles they count" in done.stdout
