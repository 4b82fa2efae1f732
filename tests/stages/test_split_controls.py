"""The checks of splits are checked: planted bugs, each a patch on a copy of the code, must turn them red."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted import Planted, copied, planted_in

PYTEST = ["-m", "pytest", "-x", "-q", "--rootdir=.", "-c", "/dev/null"]
STORIES, ERASING = "tests/stages/test_splitting.py", "tests/stages/test_split_erasing.py"
ACCOUNTS, WAITS = "tests/stages/test_account_splits.py", "tests/stages/test_split_waiting.py"
RECOUNTS, ACCOUNT_RECOUNTS = "tests/stages/test_recounting.py", "tests/stages/test_account_recounts.py"
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
        "        mine.note(day, hashed)\n",
        "",
    ),
    Planted(
        "what was folded from the log is not known by its id",
        "app/stages/merging.py",
        "            self.counted.take(key, piece)\n",
        "            pass\n",
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
        "if type(body) in (Event, Absorb, Merge, Import, Part, Erase):",
        "if type(body) is Event:",
    ),
    Planted(
        "an event that names others, too, stays",
        "app/stages/refold.py",
        "self._taken if self._identifier in ids else",
        "self._taken if [*ids] == [self._identifier] else",
    ),
    Planted(
        "who had left before is folded in again",
        "app/stages/refold.py",
        "if self._parted.parted_of(event.ids) is not None:",
        "if False:",
    ),
    Planted(
        "what had gone with an identifier is folded by itself, too",
        "app/stages/refold.py",
        "(self._left.days, self._taken.days, self._others.days, self._with_pieces)",
        "(self._left.days, self._taken.days, self._others.days)",
    ),
    Planted(
        "what the log tells comes on top of what there was",
        "app/stages/refold.py",
        "remaining(self._held.cells, self._all.profile.cells, left",
        "remaining(self._held.cells, {}, left",
    ),
    Planted(
        "who has left has of a cell what cannot be told apart",
        "app/stages/refold.py",
        "            taken.cells.pop(id_, None)\n",
        "            pass\n",
    ),
    Planted(
        "who leaves takes the identifiers of the others along",
        "app/stages/envelope.py",
        "value = event(body.at, body.id, body.type, body.name, ids,",
        "value = event(body.at, body.id, body.type, body.name, body.ids,",
    ),
]

OF_WAITING = [
    Planted(
        "who was taken out twice comes back as after the first time",
        "app/stages/pieces.py",
        "_age(held) < _age(piece)",
        "_age(held) > _age(piece)",
    ),
    Planted(
        "records behind the split count before it, too",
        "app/stages/anew.py",
        "        elif is_later:\n",
        "        elif False:\n",
    ),
    Planted(
        "of what an identifier took only the last days are known",
        "app/stages/refold.py",
        "self._taken.ever()",
        "_packed(self._taken.days)",
    ),
    Planted(
        "what was passed on is folded as it came",
        "app/stages/refold.py",
        " or self._gone_with.went_on(event, hashed):",
        ":",
    ),
    Planted(
        "what is still to come back stands for what came before it",
        "app/stages/pieces.py",
        " and self._counts(partition, record):",
        ":",
    ),
    Planted(
        "what was passed on by who is part of it now is folded",
        "app/profiles/merging.py",
        "            self.passed |= theirs.passed\n",
        "",
    ),
    Planted(
        "what had waited behind its own import counts again",
        "app/stages/merging.py",
        "                repeat = each.repeat or self.counted.is_repeat(key, body)\n                if",
        "                repeat = each.repeat\n                if",
    ),
    Planted(
        "what had left and is sent again is folded",
        "app/stages/refold.py",
        "            self._others.note(day, hashed)\n",
        "",
    ),
]

OF_ERASURES = [
    Planted(
        "what was erased is folded again",
        "app/stages/anew.py",
        " and not self._was_erased(body.ids, body.at):\n",
        ":\n",
    ),
    Planted(
        "an import of what was erased is folded again",
        "app/stages/refold.py",
        "if not self._was_erased(asked, piece.at_ms) and ",
        "if ",
    ),
    Planted(
        "nobody says since when an identifier is new",
        "app/stages/link.py",
        "since = graph.nodes[profile].reborn()",
        "since = {}",
    ),
    Planted(
        "whom an erased one had made gets the events of the new one",
        "app/stages/link.py",
        "            work.emit(topic, target, (key, back, JSON_HEADERS))\n",
        "            pass\n",
    ),
    Planted(
        "an erasure does not wait for the split before it",
        "app/stages/merging.py",
        "return type(body) is not Erase\n",
        "return type(body) is not Erase\n        if type(body) is Erase:\n            return False\n",
    ),
    Planted(
        "an erasure that was parked is forgotten by who hands over",
        "app/stages/merging.py",
        "if type(what) is Erase:  #",
        "if False:  #",
    ),
    Planted(
        "an import behind an erasure is dropped",
        "app/stages/merging.py",
        "if type(body) is Import:  #",
        "if False:  #",
    ),
    Planted(
        "a split stays behind when its profile is erased",
        "app/stages/erasing.py",
        "        folding.work.writes.update(dict.fromkeys(self._splits(key)))\n",
        "",
    ),
    Planted(
        "a suppressed identifier is taken out",
        "app/stages/link.py",
        "elif batch.regulator.bars([identifier]):",
        "elif False:",
    ),
]

OF_ACCOUNTS = [
    Planted(
        "what the log tells an account comes on top of what there was",
        "app/stages/refold.py",
        "remaining(there, log, left",
        "remaining(there, {}, left",
    ),
    Planted(
        "an account does not ask what its users have left",
        "app/stages/accounts.py",
        "        is_less = is_gone or body.recounted\n",
        "        is_less = body.leaves or body.recounted\n",
    ),
    Planted(
        "what an account has counted comes once more",
        "app/stages/reports.py",
        "        said.parted = merge.parted\n",
        "",
    ),
    Planted(
        "an account does not wait for who has come out of a user",
        "app/stages/reports.py",
        '        said.expects = parted.into if account in parted.joins else ""\n',
        "",
    ),
    Planted(
        "who has left an account never comes back",
        "app/profiles/members.py",
        "        if entry[1] is not None or entry[2] == _GONE:\n",
        "        if entry[1] is not None or entry[0]:\n",
    ),
    Planted(
        "who has left all accounts begins to count its records anew",
        "app/compute/accounts.py",
        "    if not (belonging.accounts or belonging.cells or belonging.sent):\n",
        "    if not (belonging.accounts or belonging.cells):\n",
    ),
    Planted(
        "who is taken out does not know what its account has told",
        "app/profiles/belonging.py",
        "        return Belonging(self.sent, held, last)\n",
        "        return Belonging(self.sent, {each: [0, {}] for each in held})\n",
    ),
    Planted(
        "who becomes another before it has come stays a user",
        "app/stages/reports.py",
        "        return absorbed(profile, taken, into, plan)\n",
        '        return absorbed(profile, taken, "", plan)\n',
    ),
]


OF_RECOUNTS = [
    Planted(
        "nobody looks whether the two have counted one id",
        "app/stages/merging.py",
        "if not came[0].split and self.counted.shares(key, merging, offset, came):",
        "if False:",
    ),
    Planted(
        "what has counted for both is not dropped",
        "app/stages/recount.py",
        "is_others = is_event and (",
        "is_others = False and (",
    ),
    Planted(
        "the later of the two counts",
        "app/stages/anew.py",
        "        return body.at\n",
        "        return -body.at\n",
    ),
    Planted(
        "what waits at the winner is folded, too",
        "app/stages/recount.py",
        "elsewhere=frozenset(id_hash(each.id) for each in waiting(merging.parked)) | merging.passed.keys(),",
        "",
    ),
    Planted(
        "what the loser had parked is folded as its",
        "app/stages/recount.py",
        "return self.seen is None or day < self.seen_since or self.seen.has(day, hashed)",
        "return True",
    ),
    Planted(
        "a call that is no event takes the place of an event",
        "app/stages/recount.py",
        "is_event and (other.counted.has(day, hashed)",
        "(other.counted.has(day, hashed)",
    ),
    Planted(
        "whoever is on the way to the loser is held up behind a recount",
        "app/stages/recounting.py",
        "    theirs = state.merging.waiting if state.merging is not None else ()\n",
        "    theirs = ()\n",
    ),
    Planted(
        "a winner that becomes part of another takes its recount along",
        "app/stages/merging.py",
        "for recount in recounting.give_up(key, merging):",
        "for recount in ():",
    ),
    Planted(
        "what counts for both is taken from one of them only",
        "app/profiles/merge.py",
        "        theirs.pop(cell_id, None)\n",
        "",
    ),
    Planted(
        "what was erased is folded again when two become one",
        "app/stages/splitting.py",
        "    merging.since[hashed] = part.at\n",
        "",
    ),
    Planted(
        "of a cell that the log does not have all of only what it has is left",
        "app/stages/recount.py",
        "        if self._is_whole:\n",
        "        if True:\n",
    ),
    Planted(
        "a state that came back is folded beside its messages",
        "app/stages/recount.py",
        "other.counted.has(day, hashed) or other.with_pieces.has(day, hashed)",
        "other.counted.has(day, hashed)",
    ),
]

OF_ACCOUNT_RECOUNTS = [
    Planted(
        "accounts do not ask what two have counted together",
        "app/stages/reports.py",
        "        said.recounted = merge.recounted\n",
        "",
    ),
    Planted(
        "what counted for both is brought along twice",
        "app/profiles/merge.py",
        "    if both.belonging is None:\n",
        "    if True:\n",
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("planted"))


FOUND_BY = [*((each, STORIES) for each in PLANTED), *((each, ERASING) for each in OF_ERASURES)]
FOUND_BY += [(each, WAITS) for each in OF_WAITING]
FOUND_BY += [(each, ACCOUNTS) for each in OF_ACCOUNTS]
FOUND_BY += [(each, RECOUNTS) for each in OF_RECOUNTS]
FOUND_BY += [(each, ACCOUNT_RECOUNTS) for each in OF_ACCOUNT_RECOUNTS]


@pytest.mark.parametrize(("planted", "tests"), FOUND_BY, ids=[planted.name for planted, _ in FOUND_BY])
def test_planted_bug_turns_a_story_red(planted: Planted, tests: str, copy: Path) -> None:
    with planted_in(copy, planted):
        done = subprocess.run(
            [sys.executable, *PYTEST, tests],
            cwd=copy, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
    assert done.returncode == 1, f"the stories did not notice: {planted.name}\n{done.stdout}{done.stderr}"
