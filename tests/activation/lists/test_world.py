"""Whatever happens to people, vendor and process: at rest the vendor's list is who is wanted."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.activation.lists.world import play
from tests.planted import ROOT, Planted, copied, planted_in

WORLDS = int(os.environ.get("HEADWATER_LISTS", "300"))


def test_at_rest_the_vendor_has_who_is_wanted_and_nobody_elses_member_is_touched() -> None:
    first = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"seed {first}")
    for seed in range(first, first + (1 if "SEED" in os.environ else WORLDS)):
        try:
            play(seed)
        except AssertionError as error:
            raise AssertionError(f"SEED={seed}") from error


FAULTS = [
    Planted(
        "requests are not announced before they are sent",
        "app/activation/lists/run.py",
        "    doubt(draft, list_, [Member(key, cells, group) for key, group, cells in sent.members])\n",
        "",
    ),
    Planted(
        "what timed out counts as never sent",
        "app/activation/lists/run.py",
        "UNKNOWN = (Reason.TIMEOUT, Reason.CONNECTION, Reason.SERVER_ERROR, Reason.UNREADABLE)",
        "UNKNOWN = ()",
    ),
    Planted(
        "whoever leaves is taken off, though somebody else stands for the member",
        "app/activation/lists/membership.py",
        "        entry.by.remove(profile)\n",
        "        entry.by.clear()\n",
    ),
    Planted(
        "a profile that became part of another goes on standing for its members",
        "app/activation/lists/membership.py",
        "    for part in told.absorbed:\n",
        "    for part in ():\n",
    ),
    Planted(
        "a profile that became part of another is heard all the same",
        "app/activation/lists/membership.py",
        "        draft.put_through(list_, profile, Through(NEVER_MS, 0, []))\n",
        "",
    ),
    Planted(
        "members are taken off that were never put on",
        "app/activation/lists/state.py",
        "        return REMOVE if self.has is not Has.NOT else None\n",
        "        return REMOVE\n",
    ),
    Planted(
        "an answer overwrites what was wanted meanwhile",
        "app/activation/lists/run.py",
        "            entry.has, entry.sent = (Has.YES, member.cells) if add else (Has.NOT, ())\n",
        "            entry.has, entry.sent = (Has.YES, member.cells) if add or entry.by else (Has.NOT, ())\n",
    ),
    Planted(
        "the changelog is written in any order",
        "app/activation/lists/draft.py",
        "        return sorted(kept, key=lambda record: LOG_ORDER.index(record[0][:2]))",
        "        return sorted(kept, key=lambda record: -LOG_ORDER.index(record[0][:2]))",
    ),
    Planted(
        "a lost list's members count as there",
        "app/activation/lists/run.py",
        "            entry.has, entry.sent, entry.refused, entry.again = Has.NOT, (), \"\", False\n",
        "            entry.refused, entry.again = \"\", False\n",
    ),
    Planted(
        "what the vendor accepted counts as done, whatever it reports",
        "app/activation/lists/jobs.py",
        "        undone = _undo(draft, list_, accepted, now_ms) if report.nobody else Undone(refused=refused)\n",
        "        undone = Undone(refused=refused)\n",
    ),
    Planted(
        "who has been wanted otherwise since a request was accepted is not in doubt when that came to nothing",
        "app/activation/lists/jobs.py",
        "        if entry is None or entry.has is not (Has.YES if accepted.add else Has.NOT):\n",
        "        if entry is None or bool(entry.by) != accepted.add:\n",
    ),
    Planted(
        "reports of a lost list are heard",
        "app/activation/lists/run.py",
        'kept.external, kept.forgetting, kept.jobs = "", True, []',
        'kept.external, kept.forgetting = "", True',
    ),
    Planted(
        "members of a job outlive it where a crash came between the two",
        "app/activation/lists/run.py",
        "        jobs.drop_unknown(draft, list_, kept)\n    sent",
        "        pass\n    sent",
    ),
    Planted(
        "nobody gets a second try",
        "app/activation/lists/jobs.py",
        "            if index in last:\n",
        "            if True:\n",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("planted"))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_bug_is_found(copy: Path, fault: Planted) -> None:
    with planted_in(copy, fault):
        told = subprocess.run(
            [sys.executable, "-m", "tests.activation.lists.world", "0", "600"],
            cwd=copy, env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
    assert told.returncode == 1, f"not found: {told.stdout}{told.stderr}"
    assert "seed" in told.stdout, told.stderr


def test_the_code_as_it_is_passes_the_same_seeds() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.activation.lists.world", "0", "600"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
