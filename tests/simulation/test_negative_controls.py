"""The checker is checked: planted bugs, each a patch on a copy of the code, must turn the simulation red."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted import Planted, copied, planted_in

SEEDS = ("111", "6")
OF_PEOPLE = ("307", "1", "people")
ACCOUNTS = ("810000", "1", "accounts")
RARE = {
    "assignments before the records of the profile": ("301", "1", "people"),
    "those who were merged pass nothing on": ("309", "1", "people"),
    "nothing is parked": ("302", "1", "people"),
    "what a user says twice counts twice": ("810001", "1", "accounts"),
    "what is brought along in pieces is not restored": ("810003", "1", "accounts"),
}
"""What needs a rare schedule to show."""


WRITE = "        ports.write(work.writes, log_offset)\n"
APPEND = "        log_offset = await ports.append(work.changelog)\n"

PLANTED = [
    Planted(
        "ignore w",
        "app/stages/compute.py",
        "if record.offset <= profile.w:",
        "if record.offset <= -1:",
    ),
    Planted(
        "write the store before the changelog",
        "app/stream/commit.py",
        APPEND,
        "        ports.write(work.writes, -1)\n" + APPEND,
    ),
    Planted(
        "commit before the changelog is acked",
        "app/stream/commit.py",
        APPEND,
        "        ports.committable(work.src_next)\n" + APPEND,
    ),
    Planted(
        "commit before outputs are acked",
        "app/stream/commit.py",
        "    if work.outputs:\n        ports.still_mine()\n",
        "    ports.committable(work.src_next)\n    if work.outputs:\n        ports.still_mine()\n",
    ),
    Planted(
        "uuid4 as message id",
        "app/compute/apply.py",
        "            id=message_id(",
        "            id=__import__('uuid').uuid4().hex and (lambda *_: __import__('uuid').uuid4().hex)(",
    ),
    Planted(
        "changelog before outputs",
        "app/stream/commit.py",
        "    if work.outputs:\n        ports.still_mine()\n",
        "    if work.changelog:\n        await ports.append(work.changelog)\n"
        "    if work.outputs:\n        ports.still_mine()\n",
    ),
    Planted(
        "timers fire on the wall clock while records wait",
        "app/stages/timers.py",
        "            if source.done_next < source.end:",
        "            if source.done_next < 0:",
    ),
    Planted(
        "a repeat of a message id counts",
        "app/stages/seen.py",
        "            repeat = hashed in known\n",
        "            repeat = False\n",
    ),
    Planted(
        "seen ids are sent before the state they belong to",
        "app/stages/folding.py",
        "        encode, bits = codec.encode, place.epoch_bits\n",
        "        held.seen.settle(meta.clock_ms // DAY_MS, writes, changelog)\n"
        "        encode, bits = codec.encode, place.epoch_bits\n",
    ),
    Planted(
        "a partition's seen ids are not restored",
        "app/stages/restoring.py",
        'writes.update((seen_key(day, hashed), b"") for hashed in unpack(value))',
        "pass",
    ),
]


OF_IDENTITY = [
    Planted(
        "assignments before the records of the profile",
        "app/stream/commit.py",
        "    if work.outputs:\n        ports.still_mine()\n",
        "    if work.later:\n        await ports.send(work.later)\n    if work.outputs:\n        ports.still_mine()\n",
    ),
    Planted(
        "nobody waits for an answer",
        "app/stages/resolve.py",
        "if owner is None or (pending and self._waits(one[5], owner)):",
        "if owner is None:",
    ),
    Planted(
        "nothing is parked",
        "app/stages/merging.py",
        "        if not merging.waiting or type(body) is Recollect:\n",
        "        if True:\n",
    ),
    Planted(
        "seen ids are left behind at a merge",
        "app/stages/merging.py",
        "        seen = self.counted.days(key, merging, offset)\n",
        "        seen: dict[int, bytes] = {}\n",
    ),
    Planted(
        "those who were merged pass nothing on",
        "app/stages/merging.py",
        "            if type(body) in (Event, Import, Fact):",
        "            if type(body) in (Import, Fact):",
    ),
    Planted(
        "timers do not wait for link",
        "app/stages/timers.py",
        "links_done_next >= self._links_end",
        "links_done_next >= 0",
    ),
]


OF_ACCOUNTS = [
    Planted(
        "timers of accounts do not wait for users",
        "app/stages/account_timers.py",
        "until_ms = min(passed_ms, default=0)",
        "until_ms = max(passed_ms, default=0) + 86_400_000",
    ),
    Planted(
        "what waits is not restored",
        "app/stages/restoring.py",
        "if key is not None and key.startswith((SPLIT, WAITING, BROUGHT)):",
        "if key is not None and key.startswith((SPLIT, BROUGHT)):",
    ),
    Planted(
        "what is brought along in pieces is not restored",
        "app/stages/restoring.py",
        "if key is not None and key.startswith((SPLIT, WAITING, BROUGHT)):",
        "if key is not None and key.startswith((SPLIT, WAITING)):",
    ),
    Planted(
        "what waits is in the changelog behind the account that is armed for it",
        "app/stages/folding.py",
        "        changelog.extend(writes.items())\n",
        "        held_back = {key: value for key, value in writes.items() if key.startswith(b'h|')}\n"
        "        changelog.extend((key, value) for key, value in writes.items() if key not in held_back)\n"
        "        self.gone[:0] = held_back\n",
    ),
    Planted(
        "what was applied stays, where a batch was cut",
        "app/stages/compute.py",
        "elif type(body) is Timer and self.is_of_accounts:",
        "elif False:",
    ),
    Planted(
        "what a user says twice counts twice",
        "app/profiles/members.py",
        "        if version <= entry[0]:\n            return False\n",
        "",
    ),
    Planted(
        "who joins brings nothing along",
        "app/profiles/belonging.py",
        "        return [cells for cells in kept if cells]",
        "        return [cells for cells in kept if not cells]",
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("planted"))


@pytest.mark.parametrize("seeds", [SEEDS, OF_PEOPLE, ACCOUNTS, *RARE.values()], ids=" ".join)
def test_nothing_planted_stays_green(seeds: tuple[str, ...], copy: Path) -> None:
    done = _simulate(copy, seeds)
    assert done.returncode == 0, done.stderr
    assert " 0 crashes" not in done.stdout, "the seeds must crash somewhere, or they could catch nothing"


@pytest.mark.parametrize("planted", PLANTED + OF_IDENTITY + OF_ACCOUNTS, ids=lambda planted: planted.name)
def test_planted_bug_turns_the_simulation_red(planted: Planted, copy: Path) -> None:
    with planted_in(copy, planted):
        usual = OF_PEOPLE if planted in OF_IDENTITY else ACCOUNTS if planted in OF_ACCOUNTS else SEEDS
        done = _simulate(copy, RARE.get(planted.name, usual))
    assert done.returncode == 1, f"the simulation did not notice: {planted.name}\n{done.stdout}"
    assert "replay with: SEED=" in done.stderr


def _simulate(root: Path, seeds: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *seeds], cwd=root, capture_output=True, text=True, timeout=240
    )
