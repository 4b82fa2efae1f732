"""The checks of accounts are checked: planted bugs, each a patch on a copy of the code, must turn them red."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted import Planted, copied, planted_in

SCENARIOS = "12"
_AS_OF = "            scene.profile = self._as_of(event.moment)\n"
ALWAYS = 5
"""So many are planted with every run; the others with HEADWATER_LONG=1."""

PLANTED = [
    Planted(
        "a repeat is no repeat",
        "app/profiles/members.py",
        "        if version <= entry[0]:\n            return False\n",
        "",
    ),
    Planted(
        "who joins brings nothing along",
        "app/stages/reports.py",
        "        said.cells = pack(belonging.brought_along(account, kinds, application.profile.clock))\n",
        "        assert kinds is not None\n",
    ),
    Planted(
        "events count whatever group they name",
        "app/stages/reports.py",
        "frozenset(each for each in accounts if tag in (UNTAGGED, each))",
        "frozenset(each for each in accounts if tag or not tag)",
    ),
    Planted(
        "what users say is applied as it comes",
        "app/stages/accounts.py",
        "if not self._folding.held.has_accounts:",
        "if True:",
    ),
    Planted(
        "what an account was is what it is",
        "app/compute/accounts.py",
        _AS_OF,
        "            scene.profile = self.profile\n",
    ),
    Planted(
        "what an account was is nothing",
        "app/compute/accounts.py",
        _AS_OF,
        "            scene.profile = _NOBODY\n",
    ),
    Planted(
        "of what an account was nothing is noted that time has done",
        "app/compute/accounts.py",
        "        if definition.key in spans:\n",
        "        if definition.key in spans and self.scene.arrival:\n",
    ),
    Planted(
        "an account that has been asked forgets what it was",
        "app/compute/accounts.py",
        "        profile, members, plan = self.profile, self.profile.members, self.plan\n"
        "        if members is None or members.fresh is None or members.unanswered:\n"
        "            return\n",
        "        profile, members, plan = self.profile, self.profile.members, self.plan\n"
        "        if members is None or members.fresh is None or members.unanswered:\n"
        "            return\n"
        "        profile.history = None\n",
    ),
    Planted(
        "users keep events for less than they can count",
        "app/definitions/judging.py",
        "    kind = Events(window_of(chain.filters).far_ms)\n",
        "    kind = Events((window_of(chain.filters).far_ms or 2_000_000_000) // 2)\n",
    ),
    Planted(
        "time turns users one after the other",
        "app/stages/accounts.py",
        "if not body.timed or at_ms <= account.clock:",
        "if True:",
    ),
    Planted(
        "what is left for another time is forgotten",
        "app/stages/accounts.py",
        "account.armed_due = earliest(account.armed_due, next_ms)",
        "pass",
    ),
    Planted(
        "the lost profile stays a user",
        "app/profiles/members.py",
        "        self.count -= 1\n",
        "",
    ),
    Planted(
        "a merge brings nothing along",
        "app/stages/reports.py",
        '        said.cells = merge.brought.get(account, b"")\n',
        "",
    ),
    Planted(
        "a step in two",
        "app/stages/reports.py",
        "        for account in accounts:\n            member = _said(application, belonging, account, step)\n",
        "        for account in accounts:\n"
        "            if step.call is not None and step.conditions:\n"
        "                only = Member(profile.clock, user, 1, conditions=step.conditions)\n"
        "                if account not in step.joined:\n"
        "                    self._emit(belonging, account, only)\n"
        "            member = _said(application, belonging, account, step)\n",
    ),
    Planted(
        "nobody goes on telling",
        "app/stages/telling.py",
        "        if members.telling:\n            record",
        "        if members.telling and not members.telling:\n            record",
    ),
    Planted(
        "a fact that is not newer counts",
        "app/profiles/belonging.py",
        "if held is None or version <= held[0]:",
        "if held is None:",
    ),
    Planted(
        "who joins is not told how things stand",
        "app/stages/telling.py",
        "        values = _values(application)\n        if values:\n            self._fact(",
        "        values = _values(application)\n        if not application:\n            self._fact(",
    ),
    Planted(
        "of two accounts the last to tell decides",
        "app/profiles/belonging.py",
        "        return any(told.get(key) is True for _, told in self.accounts.values())\n",
        "        return self.last_told(key) is True\n",
    ),
]


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("accounts"))


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(
            each,
            id=each.name,
            marks=[] if number < ALWAYS else pytest.mark.skipif("HEADWATER_LONG" not in os.environ, reason="long"),
        )
        for number, each in enumerate(PLANTED)
    ],
)
def test_planted_bugs_are_found(copy: Path, planted: Planted) -> None:
    with planted_in(copy, planted):
        ran = run(copy)
    assert ran.returncode == 1, f"{planted.name} was not found:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    assert "AssertionError" in ran.stdout, f"{planted.name} broke something else:\n{ran.stdout[-2000:]}"


def run(copy: Path) -> subprocess.CompletedProcess[str]:
    files = (
        "profiles/test_belonging.py", "stages/test_accounts.py", "stages/test_account_history.py",
        "properties/test_accounts_equal_oracle.py",
    )  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", *(f"tests/{file}" for file in files)]
    environment = {**os.environ, "PYTHONPATH": str(copy), "HEADWATER_SCENARIOS": SCENARIOS}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=280, check=False)
