"""Single rules of an update that a world of chance shows rarely."""

from __future__ import annotations

from app.activation.lists import run as runs
from app.activation.lists.draft import Draft
from app.activation.lists.membership import Told, tell
from app.activation.lists.run import REFUSED_ROW_MAX, Walk
from app.activation.lists.state import KeptList, Run
from app.activation.lists.vendor import Member
from app.activation.outcome import Delivered, Outcome, Reason, Rejected
from tests.activation.lists.memory import MemoryTable
from tests.activation.lists.world import LIST, lists

ENTERED = [(f"p{number}", f"m{number:02}") for number in range(60)]


def table_of(people: list[tuple[str, str]], group: str = "") -> MemoryTable:
    table = MemoryTable()
    draft = Draft(table)
    for profile, key in people:
        tell(draft, Told(LIST, "vip", "VIP", profile, 1, 1, True, Member(key, (key,), group)), 1_000)
    table.write(draft.writes)
    return table


def step(table: MemoryTable, walk: Walk, outcome: Outcome, members_max: int) -> tuple[int, bool]:
    """One request; gives how many members it had, and whether the brake was pulled."""
    draft = Draft(table)
    kept = draft.kept_list(LIST)
    assert kept is not None
    runs.begin(draft, LIST, kept, 1)
    sending = runs.next_upload(draft, LIST, lists(members_max), walk)
    assert sending is not None
    runs.settle(draft, LIST, kept, walk, sending, outcome, requests=1, now_ms=2)
    braked = runs.brakes(draft, LIST, kept, walk)
    draft.put_list(LIST, kept)
    table.write(draft.writes)
    return len(sending.members), braked


def test_a_vendor_that_takes_nobody_is_not_asked_for_ever_and_blames_nobody() -> None:
    table, walk, braked, asked = table_of(ENTERED), Walk(), False, 0
    while not braked:
        _, braked = step(table, walk, Rejected(Reason.REFUSED), 8)
        asked += 1
    assert asked == REFUSED_ROW_MAX
    draft = Draft(table)
    assert len(draft.queued(LIST, b"", 100)) == len(ENTERED), "nobody is taken for refused"
    kept = draft.kept_list(LIST)
    assert kept is not None
    assert kept.runs[-1].refused == {}


def test_requests_get_smaller_when_one_is_refused_and_larger_again() -> None:
    table, walk = table_of(ENTERED), Walk()
    outcomes: list[Outcome] = [Rejected(Reason.TOO_LARGE), Rejected(Reason.REFUSED), *[Delivered()] * 4]
    assert [step(table, walk, outcome, 8)[0] for outcome in outcomes] == [8, 4, 2, 4, 8, 8]


def test_only_members_of_one_group_share_a_request() -> None:
    table = table_of(ENTERED[:2], "email")
    table.write(table_of(ENTERED[2:5], "id").held)
    walk = Walk()
    assert [step(table, walk, Delivered(), 8)[0] for _ in range(2)] == [2, 3]


def test_a_list_is_due_by_its_interval_and_the_first_time_after_a_little_while() -> None:
    kept = KeptList("vip", "VIP", 1_000)
    assert runs.due_ms(kept, 60_000, 5_000) == 6_000
    kept.runs = [Run(10_000, 11_000, "done")]
    assert runs.due_ms(kept, 60_000, 5_000) == 70_000
    kept.runs = [Run(10_000)]
    assert runs.due_ms(kept, 60_000, 5_000) == 0, "interrupted: at once"
