"""The checks of the worlds are checked: planted bugs, each a patch on a copy of the code, must turn them red."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted import Planted, copied, planted_in

SEEDS = ("700000", "60")
RARE = {"requests beside what went straight before them": ("702335", "1")}
"""What needs a rare schedule to show."""


PLANTED = [
    Planted(
        "nobody waits for an answer",
        "app/stages/resolve.py",
        "if owner is None or (pending and self._waits(one[5], owner)):",
        "if owner is None:",
    ),
    Planted(
        "assignments before the records of the profile",
        "app/stream/commit.py",
        "    if work.outputs:\n        ports.still_mine()\n",
        "    if work.later:\n        await ports.send(work.later)\n    if work.outputs:\n        ports.still_mine()\n",
    ),
    Planted(
        "requests beside what went straight before them",
        "app/stages/resolve.py",
        "work.later[self._topics.identity_links, 0] = requests",
        "work.outputs[self._topics.identity_links, 0] = requests",
    ),
    Planted(
        "an answer for what has not been decided",
        "app/stages/link.py",
        "batch.answered[asked.partition] = max(asked.offset, ",
        "batch.answered[asked.partition] = max(asked.offset + 50, ",
    ),
    Planted(
        "who has met the loser is not told of the winner",
        "app/identity/graph.py",
        "newcomers=frozenset(node.met - known)",
        "newcomers=frozenset({partition} - known)",
    ),
    Planted(
        "half a batch of changes in the changelog",
        "tests/simulation/hosts.py",
        'class LinkHost(Host):\n    """`identity.links`, the only partition."""\n\n    is_atomic = True',
        "class LinkHost(Host):\n    is_atomic = False",
    ),
    Planted(
        "the merged stay",
        "app/stages/link_state.py",
        "                drop(profile)\n                continue\n",
        "                continue\n",
    ),
    Planted(
        "identifiers of the merged are not moved",
        "app/stages/link.py",
        "        for each in batch.gained:\n",
        "        for each in ():\n",
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("planted"))


def test_nothing_planted_stays_green(copy: Path) -> None:
    for seeds in (*RARE.values(), SEEDS):
        done = _worlds(copy, seeds)
        assert done.returncode == 0, done.stderr
    assert "kills" in done.stdout


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_planted_bug_turns_a_world_red(planted: Planted, copy: Path) -> None:
    with planted_in(copy, planted):
        done = _worlds(copy, RARE.get(planted.name, SEEDS))
    assert done.returncode == 1, f"the worlds did not notice: {planted.name}\n{done.stdout}"
    assert "replay with: SEED=" in done.stderr


def _worlds(root: Path, seeds: tuple[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.identity", *seeds], cwd=root, capture_output=True, text=True, timeout=240
    )
