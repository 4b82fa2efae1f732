"""What a list destination's changelog tells of whom regulations have erased."""

from __future__ import annotations

from app.activation.destinations import DESTINATIONS
from app.activation.lists import run
from app.activation.lists.draft import Draft
from app.activation.lists.leaving import Departures, Leaving, Left
from app.activation.lists.membership import Told, tell
from app.activation.lists.run import Walk
from app.activation.lists.vendor import Member
from app.activation.outcome import Delivered, Outcome, Reason, Rejected
from tests.activation.lists.memory import MemoryTable

LIST = b"aud_1"
INTERVAL_S, FIRST_WAIT_S = 3_600.0, 60.0
lists = DESTINATIONS["klaviyo_lists"].configure({"api_key": "k"}).lists
assert lists is not None
LISTS = lists


class Story:
    """A table and its changelog, as the lane writes them."""

    def __init__(self) -> None:
        self.table = MemoryTable()
        self.changelog: list[tuple[bytes | None, bytes | None]] = []
        self.now_ms = 0

    def commit(self, draft: Draft) -> None:
        self.table.write(draft.writes)
        self.changelog += draft.changelog

    def tell(self, profile: str, member: str, *, entered: bool) -> None:
        self.now_ms += 1
        draft = Draft(self.table)
        told = Told(LIST, "vip", "VIP", profile, self.now_ms, self.now_ms, entered, Member(member, (member,), ""))
        tell(draft, told, self.now_ms)
        self.commit(draft)

    def update(self, outcome: Outcome) -> None:
        """A run in which the vendor answers each request so."""
        self.now_ms += 1
        draft = Draft(self.table)
        kept = draft.kept_list(LIST)
        assert kept is not None
        run.begin(draft, LIST, kept, self.now_ms)
        self.commit(draft)
        walk = Walk()
        while True:
            draft = Draft(self.table)
            sending = run.next_upload(draft, LIST, LISTS, walk)
            if sending is None:
                break
            run.settle(draft, LIST, kept, walk, sending, outcome, requests=1, now_ms=self.now_ms)
            self.commit(draft)
        run.end(draft, LIST, kept, self.now_ms)
        self.commit(draft)

    def of(self, *profiles: str, audience: str = "vip", additive_only: bool = False) -> list[Leaving]:
        read = Departures(profiles)
        for record in self.changelog:
            read.take([record])
        return read.found({audience: INTERVAL_S}, FIRST_WAIT_S, self.now_ms, additive_only=additive_only)


def on_the_list(*profiles: str) -> Story:
    """They are in the audience, and the vendor has them."""
    story = Story()
    for each in profiles:
        story.tell(each, f"{each}@x.org", entered=True)
    story.update(Delivered())
    return story


def test_it_waits_for_the_next_update_and_then_is_removed() -> None:
    story = on_the_list("p1", "p2")
    due_ms = story.now_ms + int(INTERVAL_S * 1_000)
    waits = [Leaving("vip", Left.WAITING, due_ms)]
    assert story.of("p1") == waits, "its exit is still on its way"
    story.tell("p1", "", entered=False)
    assert story.of("p1") == waits
    story.update(Delivered())
    assert story.of("p1") == [Leaving("vip", Left.REMOVED, None)]
    assert story.of("p1", "p2")[0].left is Left.WAITING, "the worst of several counts"
    assert story.of("p3") == []


def test_who_never_came_to_the_vendor_is_not_there() -> None:
    story = Story()
    story.tell("p1", "p1@x.org", entered=True)
    assert story.of("p1") == [Leaving("vip", Left.WAITING, story.now_ms + int(FIRST_WAIT_S * 1_000))]
    story.tell("p1", "", entered=False)
    assert story.of("p1") == [Leaving("vip", Left.REMOVED, None)]


def test_a_member_for_whom_somebody_else_stands_stays() -> None:
    story = on_the_list("p1")
    story.tell("p2", "p1@x.org", entered=True)
    story.tell("p1", "", entered=False)
    story.update(Delivered())
    assert story.of("p1") == [Leaving("vip", Left.ANOTHERS, None)]


def test_a_removal_that_is_refused_is_told() -> None:
    story = on_the_list("p1")
    story.tell("p1", "", entered=False)
    story.update(Rejected(Reason.REFUSED))
    assert story.of("p1") == [Leaving("vip", Left.REFUSED, None)]


def test_a_list_from_which_nothing_is_taken_is_told() -> None:
    story = on_the_list("p1")
    story.tell("p1", "", entered=False)
    assert story.of("p1", additive_only=True) == [Leaving("vip", Left.STAYS, None)]
    assert story.of("p1", audience="others") == [Leaving("vip", Left.STAYS, None)]
