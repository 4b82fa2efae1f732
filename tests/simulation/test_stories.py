"""Splits, erasures and accounts mixed with messages, lag, crashes and lost disks.

More: HEADWATER_STORIES=500 pytest tests/simulation -k stories
One seed again: SEED=1234 pytest tests/simulation -k one_story
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.planted import Planted, copied, planted_in
from tests.simulation.stories import run_story
from tests.simulation.world import Faults, Group

STORIES = int(os.environ.get("HEADWATER_STORIES", "28"))
FIRST_SEED = int(os.environ.get("HEADWATER_SEED", "950014"))
BLOCKS = max(2, STORIES // 100)
ANYBODY: tuple[Group, ...] = ("all", "resolve", "link", "compute", "accounts")
SHAPES = (
    Faults(),
    Faults(lag=0.2),
    Faults(lag=0.3, slow=("news",)),
    Faults(lag=0.3, slow=("link",)),
    Faults(crash=0.02, wipe=0.3, lag=0.2, dies=ANYBODY),
    Faults(crash=0.02, wipe=0.3, lag=0.2, dies=ANYBODY, slow=("compute",), slow_commits=True),
    Faults(crash=0.01, wipe=0.5, lag=0.3, dies=ANYBODY, slow=("news",), resend=True),
)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_stories_come_to_rest_as_they_should(block: int) -> None:
    seeds = range(FIRST_SEED + block, FIRST_SEED + STORIES, BLOCKS)
    print(f"\n{seeds}")
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts += run_story(seed, SHAPES[seed % len(SHAPES)])
    print(dict(counts))
    for what in ("regulations", "erased", "members", "finals", "of_accounts", "kills"):
        assert counts[what] > len(seeds) // 4, (what, counts)
    assert counts["splits"] > counts["parted_members"] > 0, counts
    assert counts["without_the_gone"], counts
    assert counts["asking"], counts


@pytest.mark.skipif("SEED" not in os.environ, reason="for replaying a seed that failed")
def test_one_story() -> None:
    seed = int(os.environ["SEED"])
    print(dict(run_story(seed, SHAPES[seed % len(SHAPES)])))


PLANTED = [
    Planted(
        "who is erased stays in its accounts",
        "app/stages/erasing.py",
        "        folding.reports.leave(key, profile)\n",
        "",
    ),
    Planted(
        "what the gone did stays in the cells",
        "app/stages/accounts.py",
        "            self._folding.telling.ask(application, members)\n",
        "",
    ),
    Planted(
        "whom a split leaves outside stays a user",
        "app/stages/reports.py",
        "        said.parts, said.leaves = True, account not in belonging.accounts\n",
        "        said.parts = True\n",
    ),
    Planted(
        "what an account was has the words of the gone",
        "app/stages/accounts.py",
        "            application.forget()\n",
        "            pass\n",
    ),
    Planted(
        "what waited stays in the store",
        "app/stages/waiting.py",
        "        self._folding.gone.append(place)\n",
        "",
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("stories"))


@pytest.mark.skipif("HEADWATER_LONG" not in os.environ, reason="long")
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_bug_is_found(copy: Path, planted: Planted) -> None:
    code = (
        "from tests.simulation.test_stories import SHAPES, run_story\n"
        "for seed in range(960000, 960070): run_story(seed, SHAPES[seed % len(SHAPES)])"
    )
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    with planted_in(copy, planted):
        done = subprocess.run([sys.executable, "-c", code], cwd=copy, env=environment, capture_output=True, text=True)
    assert "replay with: SEED=" in done.stderr, "the bug was not noticed"
