"""Bugs planted in the lane of lists and its table; the tests named here have to see them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted import Planted, copied, planted_in

LANE = "tests/delivery/test_list_lane.py"
FAULTS = [
    (
        Planted(
            "a request leaves before the changelog has it",
            "app/delivery/list_update.py",
            "                runs.set_out(draft, self._list, sending)\n",
            "",
        ),
        f"{LANE}::test_who_left_while_a_request_was_in_doubt_is_taken_off",
    ),
    (
        Planted(
            "who is given to a list that is made is forgotten",
            "app/delivery/list_update.py",
            "            runs.doubt(draft, self._list, members)\n",
            "",
        ),
        f"{LANE}::test_who_left_while_his_list_was_made_with_him_is_taken_off",
    ),
    (
        Planted(
            "a table goes on after a step that may not have been written",
            "app/delivery/list_table.py",
            "            self.broken = True\n            raise",
            "            raise",
        ),
        "tests/delivery/test_list_table.py::test_a_step_that_was_cut_short_can_only_be_read_back",
    ),
    (
        Planted(
            "lists are sent on after they were taken away",
            "app/delivery/list_lane.py",
            "        self.own(False)\n        if self._serving is not None:\n"
            "            await asyncio.wait([self._serving])\n",
            "        self._owned = False\n",
        ),
        f"{LANE}::test_after_it_is_taken_away_nothing_is_sent_or_written",
    ),
    (
        Planted(
            "the source is acknowledged without the changelog",
            "app/delivery/list_lane.py",
            "                self._lost(table, error)\n        if filtered:",
            "                self._lost(table, error)\n                break\n        if filtered:",
        ),
        f"{LANE}::test_a_step_that_may_or_may_not_have_been_written_is_read_back",
    ),
    (
        Planted(
            "the interval is not kept",
            "app/activation/lists/run.py",
            "kept.runs[-1].started_ms + interval_ms",
            "kept.runs[-1].started_ms",
        ),
        f"{LANE}::test_the_first_update_sends_the_whole_list_and_later_ones_only_what_changed",
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("planted"))


@pytest.mark.parametrize(("fault", "test"), FAULTS, ids=lambda one: one.name if isinstance(one, Planted) else "")
def test_a_planted_bug_is_found(copy: Path, fault: Planted, test: str) -> None:
    with planted_in(copy, fault):
        told = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", test],
            cwd=copy, env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert told.returncode == 1, f"not found: {told.stdout[-2_000:]}{told.stderr[-500:]}"
    assert "1 failed" in told.stdout
