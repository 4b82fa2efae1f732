"""The crash test is checked: bugs planted on a copy of the code must turn it red.

Minutes each, so only in the long form: HEADWATER_LONG=1 pytest tests/faults/test_negative_controls.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted import Planted, copied, planted_in
from tests.simulation.test_negative_controls import PLANTED

CAUGHT = {
    "uuid4 as message id",
    "a repeat of a message id counts",
    "timers fire on the wall clock while records wait",
}
SAID = ("are not explained by any change", "changed, but should not", ": expected [")
"""By whichever check is the first to meet it."""

pytestmark = [
    pytest.mark.skipif("HEADWATER_LONG" not in os.environ, reason="the long form only"),
    pytest.mark.timeout(1_800),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("planted"))


def test_nothing_planted_stays_green(copy: Path) -> None:
    done = _crash(copy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("planted", [each for each in PLANTED if each.name in CAUGHT], ids=lambda each: each.name)
def test_planted_bug_turns_the_crash_test_red(planted: Planted, copy: Path) -> None:
    with planted_in(copy, planted):
        done = _crash(copy)
    assert done.returncode == 1, f"the crash test did not notice: {planted.name}\n{done.stdout}"
    assert any(text in done.stderr for text in SAID), done.stderr


def _crash(root: Path) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "tests.faults", "--events", "5000", "--kills", "4", "--mode", "keeping")
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=1_700)
