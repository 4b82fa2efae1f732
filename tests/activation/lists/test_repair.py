"""An order to mend changes what is known to be so, and nothing that is under way."""

from __future__ import annotations

import pytest

from app.activation.lists.draft import Draft
from app.activation.lists.repair import Repair, mend
from app.activation.lists.state import Entry, Has, KeptList, entry_id
from app.activation.lists.vendor import Member
from tests.activation.lists.memory import MemoryTable

LIST = b"aud_1"
CELLS = ("ann@x.org",)
ID = entry_id(Member(CELLS[0], CELLS, ""))
MISSING = Repair(LIST.decode(), missing=[(CELLS[0], "", CELLS)])
BACK = Repair(LIST.decode(), back=[(CELLS[0], "", CELLS)])


def mended(entry: Entry | None, order: Repair, *, additive_only: bool = False) -> Entry | None:
    draft = Draft(MemoryTable())
    draft.put_list(LIST, KeptList("vip", "vip", 1_000))
    if entry is not None:
        draft.put_entry(LIST, ID, entry)
    mend(draft, order, additive_only=additive_only)
    return draft.entry(LIST, ID)


def held(has: Has, *by: str) -> Entry:
    return Entry(CELLS[0], "", CELLS, [*by], has, CELLS if has is not Has.NOT else ())


def test_who_is_missing_is_put_on_again() -> None:
    entry = mended(held(Has.YES, "p1"), MISSING)
    assert entry is not None
    assert (entry.has, entry.sent, entry.by) == (Has.NOT, (), ["p1"])


@pytest.mark.parametrize("by", [(), ("p1",)], ids=["to be taken off", "to be put on"])
def test_of_whom_a_request_is_under_way_nothing_is_known(by: tuple[str, ...]) -> None:
    assert mended(held(Has.DOUBT, *by), MISSING) == held(Has.DOUBT, *by), "the vendor may have it, and for ever"


def test_who_came_back_is_taken_off_unless_he_is_wanted_or_the_list_only_grows() -> None:
    entry = mended(None, BACK)
    assert entry is not None
    assert (entry.has, entry.by, entry.queue()) == (Has.DOUBT, [], held(Has.DOUBT).queue())
    assert mended(held(Has.NOT, "p1"), BACK) == held(Has.NOT, "p1")
    assert mended(None, BACK, additive_only=True) is None
