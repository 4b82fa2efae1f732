"""The checks of splits are checked: planted bugs, each a patch on a copy of the code, must turn them red."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted import Planted, copied, planted_in

PYTEST = ["-m", "pytest", "-x", "-q", "--rootdir=.", "-c", "/dev/null", "tests/stages/test_splitting.py"]
PLANTED = [
    Planted(
        "nothing waits while a profile is parted",
        "app/stages/splitting.py",
        "    merging.waiting.append(name)\n",
        "",
    ),
    Planted(
        "what is sent twice is folded twice",
        "app/stages/refold.py",
        "        mine.days.setdefault(day, set()).add(hashed)\n",
        "",
    ),
    Planted(
        "what was folded from the log is not known by its id",
        "app/stages/merging.py",
        "        self.take_ids(key, body)\n        for each in merging.parked:",
        "        for each in merging.parked:",
    ),
    Planted(
        "what has come back is still passed on",
        "app/profiles/merging.py",
        "each for each in found if each[0] not in here",
        "each for each in found",
    ),
    Planted(
        "a merge does not wait for the split before it",
        "app/stages/merging.py",
        "is_parked = type(body) in (Event, Absorb, Merge, Import, Part)",
        "is_parked = type(body) is Event",
    ),
    Planted(
        "an event that names others, too, stays",
        "app/stages/refold.py",
        "goes = self._identifier in event.ids",
        "goes = event.ids == [self._identifier]",
    ),
    Planted(
        "who had left before is folded in again",
        "app/stages/refold.py",
        "            if self._parted.parted_of(body.ids) is None:",
        "            if True:",
    ),
    Planted(
        "records behind the split count before it, too",
        "app/stages/refold.py",
        "        if is_later and type(body) is not Import:",
        "        if False:",
    ),
    Planted(
        "who leaves takes the identifiers of the others along",
        "app/stages/splitting.py",
        "return event(body.at, body.id, body.type, body.name, ids,",
        "return event(body.at, body.id, body.type, body.name, body.ids,",
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("planted"))


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_planted_bug_turns_a_story_red(planted: Planted, copy: Path) -> None:
    with planted_in(copy, planted):
        done = subprocess.run(
            [sys.executable, *PYTEST],
            cwd=copy, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
    assert done.returncode == 1, f"the stories did not notice: {planted.name}\n{done.stdout}{done.stderr}"
