"""A process dies exactly where and when it was told to."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.errors import SettingsError
from app.observability.failpoints import VARIABLE, Failpoint, arm, failpoint


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm({})


def test_it_acts_at_the_given_hit_and_no_other() -> None:
    acts: list[int] = []
    arm({VARIABLE: "after_store_write:3"}, lambda: acts.append(1))
    for _ in range(2):
        failpoint(Failpoint.AFTER_STORE_WRITE)
    failpoint(Failpoint.AFTER_COMPUTE)
    assert not acts
    failpoint(Failpoint.AFTER_STORE_WRITE)
    assert len(acts) == 1
    failpoint(Failpoint.AFTER_STORE_WRITE)
    assert len(acts) == 1


def test_without_a_count_it_is_the_first() -> None:
    acts: list[int] = []
    arm({VARIABLE: "after_compute"}, lambda: acts.append(1))
    failpoint(Failpoint.AFTER_COMPUTE)
    assert acts


@pytest.mark.parametrize("text", ["nowhere:1", "after_compute:", "after_compute:0", "after_compute:x", ":3"])
def test_what_names_no_place_is_refused_at_start(text: str) -> None:
    with pytest.raises(SettingsError, match=VARIABLE):
        arm({VARIABLE: text})


def test_the_process_is_killed_without_a_goodbye() -> None:
    program = """
import atexit, os
from app.observability.failpoints import Failpoint, arm, failpoint
atexit.register(print, "goodbye")
arm(os.environ)
for turn in range(5):
    print(turn, flush=True)
    failpoint(Failpoint.AFTER_CHANGELOG_ACK)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={VARIABLE: "after_changelog_ack:3"},
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "0\n1\n2\n"
