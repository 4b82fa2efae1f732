"""Users and their accounts: what one tells the other, and what comes of it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from app.definitions.model import Catalog, Definition, Kind, Subscription
from app.profiles.state import Profile
from app.stages import envelope, telling
from app.stages.envelope import Continue, Fact, Member
from tests.stages.accounts_world import TOPICS, AccountsWorld

START_MS = 1_767_225_600_000
MINUTE_MS = 60_000


def of_accounts(key: str, query: str) -> Definition:
    kind: Kind = "trait" if query.endswith(".count()") else "audience"
    return Definition(key, kind, query, "ACCOUNTS")


VIEWS = of_accounts("views", "event('V').count()")


class Story:
    """A world with words for what happens in it."""

    def __init__(self, *definitions: Definition, tell: tuple[str, ...] = (), drops: float = 0.0, seed: int = 0) -> None:
        by_key = {each.key: each for each in definitions}
        self.catalog = Catalog(definitions, tuple(Subscription(key, by_key[key].kind, "crm") for key in tell))
        self.world = AccountsWorld(self.catalog, 2, Random(seed), drops=drops)
        self.at_ms = START_MS
        self.sent = 0

    def say(self, user: str, kind: str, after_ms: int = 1, **fields: Any) -> None:
        self.at_ms += after_ms
        self.sent += 1
        self.world.pass_time(self.at_ms)
        self.world.message(self.at_ms, {"type": kind, "userId": user, "messageId": f"m{self.sent}", **fields})
        self.world.rest()

    def track(self, user: str, event: str = "V", **fields: Any) -> None:
        self.say(user, "track", event=event, **fields)

    def group(self, user: str, account: str, **traits: Any) -> None:
        self.say(user, "group", groupId=account, traits=traits)

    def wait(self, ms: int) -> None:
        self.at_ms += ms
        self.world.pass_time(self.at_ms)

    def account(self, id_: str) -> Profile:
        return self.world.profiles("accounts")[id_]

    def user(self, id_: str) -> Profile:
        users = self.world.profiles("users").values()
        return next(each for each in users if ("user_id", id_) in each.identifiers)

    def changes(self, key: str) -> list[tuple[str, Any]]:
        bodies = self.world.bodies(TOPICS.changes)
        return [(each["profile"], each["value"]) for each in bodies if each["key"] == key]

    def payloads(self, key: str) -> list[tuple[str, Any]]:
        """(user id, value) of those to users."""
        bodies = self.world.bodies(TOPICS.destination("crm"))
        calls = [each["payload"] for each in bodies if each["computation"]["key"] == key]
        return [(call["userId"], call["traits"][key]) for call in calls if "userId" in call]

    def records(self, topic: str) -> list[envelope.Body]:
        return [envelope.decode(record.value) for record in self.world.log.all_of(topic)]


# ── who belongs to what ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_group_call_makes_the_account_and_writes_its_traits() -> None:
    story = Story()
    story.group("ann", "acme", plan="pro", seats=5)
    story.group("ann", "acme", seats=6)
    story.say("bob", "group", groupId="acme", traits={"plan": "old"}, timestamp="2020-01-01T00:00:00Z")
    story.group("bob", "bits")
    acme = story.account("acme")
    assert {key: written[0] for key, written in acme.traits.items()} == {"plan": "pro", "seats": 6}
    assert acme.identifiers == [("group_id", "acme")]
    assert acme.members is not None
    assert acme.members.count == 2
    bob = story.user("bob").belonging
    assert bob is not None
    assert list(bob.accounts) == ["acme", "bits"]


def test_without_definitions_of_accounts_only_group_calls_reach_them() -> None:
    story = Story(Definition("views", "trait", "event('V').count()"))
    story.group("ann", "acme")
    story.track("ann")
    story.group("ann", "acme")
    said = [body for body in story.records(TOPICS.accounts_in) if isinstance(body, Member)]
    assert [(body.joins, body.cells, body.conditions) for body in said] == [(True, b"", {}), (False, b"", {})]
    belonging = story.user("ann").belonging
    assert belonging is not None
    assert belonging.cells == {}


def test_a_group_call_without_an_account_and_one_that_is_sent_twice_change_nothing() -> None:
    story = Story()
    story.say("ann", "group", groupId="")
    story.say("ann", "group", traits={"plan": "pro"})
    assert story.world.profiles("accounts") == {}
    story.group("ann", "acme", plan="pro")
    before = len(story.records(TOPICS.accounts_in))
    again = {"type": "group", "userId": "ann", "messageId": f"m{story.sent}", "groupId": "else"}
    story.world.message(story.at_ms, again)
    story.world.rest()
    assert len(story.records(TOPICS.accounts_in)) == before


def test_an_account_id_may_be_a_number() -> None:
    story = Story()
    story.group("ann", 7, plan="pro")  # type: ignore[arg-type]
    assert story.account("7").traits["plan"][0] == "pro"


# ── events of all users together ──────────────────────────────────────────────────────────────────────────────────


def test_what_a_user_did_before_it_joined_counts() -> None:
    story = Story(VIEWS, of_accounts("busy", "event('V').within(1 hour).count() >= 3"))
    for user in ("ann", "bob"):
        story.track(user)
        story.track(user)
    story.group("ann", "acme")
    assert story.changes("views") == [("acme", 2)]
    story.group("bob", "acme")
    assert story.changes("views") == [("acme", 2), ("acme", 4)]
    assert story.changes("busy") == [("acme", True)]
    story.wait(61 * MINUTE_MS)
    assert story.changes("busy") == [("acme", True), ("acme", False)]


def test_an_event_with_a_group_counts_for_that_account_alone_and_only_of_its_users() -> None:
    story = Story(VIEWS)
    story.track("ann", context={"groupId": "bits"})
    story.group("ann", "acme")
    story.track("ann", context={"groupId": "bits"})
    story.track("ann", context={"groupId": "acme"})
    story.group("bob", "bits")
    story.track("bob", context={"groupId": "acme"})
    assert story.changes("views") == [("acme", 1)]
    story.group("ann", "bits")
    assert story.changes("views") == [("acme", 1), ("bits", 2)]
    story.track("ann")
    assert story.changes("views")[2:] == [("acme", 2), ("bits", 3)]


def test_an_event_that_nothing_asks_for_is_not_passed_on() -> None:
    story = Story(of_accounts("dear", "event('V').where(property('price') > 10).count() > 0"))
    story.group("ann", "acme")
    before = len(story.records(TOPICS.accounts_in))
    story.track("ann", properties={"price": 5})
    story.track("ann", "W", properties={"price": 50})
    assert len(story.records(TOPICS.accounts_in)) == before
    story.track("ann", properties={"price": 50})
    assert story.changes("dear") == [("acme", True)]


def test_trait_inside_where_is_the_accounts_as_it_stands_when_the_event_is_applied() -> None:
    story = Story(of_accounts("paid", "event('V').where(trait('plan') = 'pro').count() > 0"))
    story.track("ann")
    story.group("ann", "acme", plan="pro")
    assert story.changes("paid") == [], "the account did not know of it"
    story.track("ann")
    assert story.changes("paid") == [("acme", True)]


# ── what is asked of each user ────────────────────────────────────────────────────────────────────────────────────


def test_quantifiers_follow_their_users() -> None:
    inner = "(event('V').within(1 hour).count() >= 1)"
    story = Story(*(of_accounts(name.lower(), f"{name} {inner}") for name in ("ANY", "ALL", "NONE")))
    story.track("ann")
    story.group("ann", "acme")
    assert (story.changes("any"), story.changes("all")) == ([("acme", True)], [("acme", True)])
    story.group("bob", "acme")
    assert story.changes("all") == [("acme", True), ("acme", False)]
    story.track("bob")
    story.wait(2 * 60 * MINUTE_MS)
    assert story.changes("any") == [("acme", True), ("acme", False)]
    assert story.changes("all") == [("acme", True), ("acme", False), ("acme", True), ("acme", False)]
    assert story.changes("none") == [("acme", True)]


def test_one_step_of_a_user_is_one_step_of_its_account() -> None:
    never = of_accounts("never", "ANY (event('V').count() >= 1) AND event('V').count() = 0")
    gone = of_accounts("gone", "ANY (event('V').within(1 hour).count() >= 1) AND event('V').within(1 hour).count() = 0")
    story = Story(never, gone)
    story.group("ann", "acme")
    story.track("ann")
    story.wait(2 * 60 * MINUTE_MS)
    assert story.changes("never") == story.changes("gone") == []


def test_users_whom_time_turns_at_one_instant_are_one_step() -> None:
    flips = of_accounts("flips", "ANY (trait('a').within_next(1 hour)) AND NONE (trait('b').within_last(1 hour))")
    story = Story(flips)
    story.group("ann", "acme")
    story.group("bob", "acme")
    # At midnight time takes the first out of ANY and the second into NONE.
    story.say("ann", "identify", traits={"a": "2026-01-01T10:00:00Z"})
    story.say("bob", "identify", traits={"b": "2026-01-01T10:00:00Z"})
    story.wait(24 * 60 * MINUTE_MS)
    assert story.changes("flips") == [("acme", True), ("acme", False)]
    at = [each["at"] for each in story.world.bodies(TOPICS.changes) if each["key"] == "flips"]
    assert at == ["2026-01-01T09:00:00.000Z", "2026-01-01T10:00:00.000Z"]


def test_a_user_may_be_anonymous() -> None:
    story = Story(of_accounts("any", "ANY (event('V').count() >= 1)"))
    message = {"type": "group", "anonymousId": "a1", "messageId": "g", "groupId": "acme"}
    story.world.message(START_MS, message)
    story.world.message(START_MS + 1, {"type": "track", "anonymousId": "a1", "messageId": "t", "event": "V"})
    story.world.rest()
    assert story.changes("any") == [("acme", True)]


# ── what users are told ───────────────────────────────────────────────────────────────────────────────────────────

BIG = Definition("big", "audience", "trait('seats') >= 10", "ACCOUNTS")
SEATS = Definition("calls", "trait", "event('C').count()", "ACCOUNTS")
IN_BIG = Definition("in_big", "audience", "trait('big') = true")


def test_every_user_is_told_also_one_that_has_done_nothing_else() -> None:
    story = Story(BIG, SEATS, IN_BIG, tell=("big", "calls"))
    story.group("ann", "acme", seats=5)
    story.group("bob", "acme", seats=20)
    assert sorted(story.payloads("big")) == [("ann", True), ("bob", True)]
    assert sorted(story.changes("big")) == [("acme", True)], "in `changes` it is the account's"
    assert len(story.changes("in_big")) == 2
    story.track("ann", "C")
    assert sorted(story.payloads("calls")) == [("ann", 1), ("bob", 1)]
    story.group("cid", "acme")
    assert sorted(story.payloads("big")) == [("ann", True), ("bob", True), ("cid", True)]
    assert sorted(story.payloads("calls")) == [("ann", 1), ("bob", 1), ("cid", 1)]


def test_who_is_in_two_such_accounts_leaves_when_both_have() -> None:
    story = Story(BIG, IN_BIG, tell=("big",))
    for account in ("acme", "bits"):
        story.group("ann", account, seats=20)
    assert story.payloads("big") == [("ann", True)]
    story.group("ann", "acme", seats=1)
    assert story.payloads("big") == [("ann", True)]
    story.group("ann", "bits", seats=1)
    assert story.payloads("big") == [("ann", True), ("ann", False)]
    assert [value for _, value in story.changes("in_big")] == [True, False]


def test_nobody_is_told_what_nobody_asks_for() -> None:
    story = Story(BIG)
    story.group("ann", "acme", seats=20)
    assert not any(isinstance(body, Fact) for body in story.records(TOPICS.profiles_in))
    only_group = Subscription("big", "audience", "crm", calls=("group",))
    story.world.change(Catalog((BIG,), (only_group,)))
    story.group("ann", "acme", seats=2)
    story.group("ann", "acme", seats=20)
    assert not any(isinstance(body, Fact) for body in story.records(TOPICS.profiles_in))


def test_who_is_told_from_now_on_is_told_how_things_stand() -> None:
    story = Story(BIG)
    story.group("ann", "acme", seats=20)
    story.world.change(Catalog((BIG, IN_BIG)))
    story.world.rest()
    story.world.send("accounts", "acme", envelope.refresh(story.at_ms))
    story.world.rest()
    assert [value for _, value in story.changes("in_big")] == [True]


def test_many_users_are_told_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "PORTION_MAX", 3)
    story = Story(BIG, IN_BIG, drops=0.3, seed=5)
    for number in range(10):
        story.group(f"u{number}", "acme")
    story.group("u0", "acme", seats=20)
    steps = [body.number for body in story.records(TOPICS.accounts_in) if isinstance(body, Continue)]
    assert sorted(set(steps)) == [1, 2, 3]
    assert len(story.changes("in_big")) == 10
    story.world.send("accounts", "acme", envelope.encode(Continue(story.at_ms, 2)))
    before = len(story.records(TOPICS.profiles_in))
    story.world.rest()
    assert len(story.records(TOPICS.profiles_in)) == before, "that portion has been told"


# ── users that become one ─────────────────────────────────────────────────────────────────────────────────────────


def both(story: Story) -> None:
    """An anonymous one turns out to be Ann."""
    story.say("ann", "identify", anonymousId="a1", traits={})


def anonymous(story: Story, kind: str, **fields: Any) -> None:
    story.at_ms += 1
    story.sent += 1
    message = {"type": kind, "anonymousId": "a1", "messageId": f"m{story.sent}", **fields}
    story.world.message(story.at_ms, message)
    story.world.rest()


def test_the_survivor_stands_for_both_in_every_account() -> None:
    story = Story(
        VIEWS,
        of_accounts("all", "ALL (event('V').count() >= 3)"),
        BIG,
        IN_BIG,
    )
    anonymous(story, "track", event="V")
    anonymous(story, "group", groupId="acme", traits={"seats": 20})
    story.track("ann")
    story.track("ann")
    story.group("ann", "bits")
    assert story.changes("views") == [("acme", 1), ("bits", 2)]
    both(story)
    assert story.changes("views")[2:] in ([("acme", 3), ("bits", 3)], [("bits", 3), ("acme", 3)])
    assert sorted(story.changes("all")) == [("acme", True), ("bits", True)]
    for account in ("acme", "bits"):
        members = story.account(account).members
        assert members is not None
        assert members.count == 1
    assert story.user("ann").emitted["in_big"] is True


def test_two_of_one_account_become_one_of_it_and_nothing_counts_twice() -> None:
    story = Story(VIEWS, of_accounts("all", "ALL (event('V').count() >= 1)"))
    anonymous(story, "group", groupId="acme")
    anonymous(story, "track", event="V")
    story.group("ann", "acme")
    assert story.changes("all") == [("acme", True), ("acme", False)]
    both(story)
    assert story.changes("views") == [("acme", 1)]
    assert story.changes("all")[2:] == [("acme", True)]


# ── faults ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(20))
def test_what_is_sent_twice_counts_once(seed: int) -> None:
    story = Story(VIEWS, of_accounts("all", "ALL (event('V').count() >= 2)"), drops=0.5, seed=seed)
    for user in ("ann", "bob"):
        story.track(user)
        story.group(user, "acme")
        story.track(user)
    assert story.account("acme").emitted == {"views": 4, "all": True}
    assert [value for _, value in story.changes("all")] in ([True], [True, False, True])


def test_cells_that_cannot_be_read_are_a_dead_letter_and_leave_nothing_half_done() -> None:
    story = Story(VIEWS)
    member = Member(START_MS, "prf_x", 1, joins=True, cells=b"no zlib")
    story.world.send("accounts", "acme", envelope.encode(member))
    story.group("ann", "acme")
    (dead,) = story.world.log.all_of(TOPICS.events_dead)
    assert b"cells that cannot be read" in (dead.value or b"")
    members = story.account("acme").members
    assert members is not None
    assert list(members.users) == list(story.world.profiles("users"))


def test_conditions_that_the_account_has_not_heard_of_are_kept() -> None:
    story = Story()
    story.world.send(
        "accounts", "acme", envelope.encode(Member(START_MS, "prf_x", 1, joins=True, conditions={"c": True}))
    )
    story.world.rest()
    members = story.account("acme").members
    assert members is not None
    assert members.satisfying("c") == 1


# ── definitions live ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_definition_is_silent_until_all_users_have_been_asked() -> None:
    story = Story()
    for user in ("ann", "bob"):
        story.track(user)
        story.group(user, "acme")
    none = of_accounts("none", "NONE (event('W').count() >= 1)")
    story.world.change(Catalog((none,)))
    story.world.rest()
    story.world.send("accounts", "acme", envelope.refresh(story.at_ms))
    story.world.rest()
    assert story.changes("none") == [], "nobody has been asked"
    story.track("ann", "W")
    assert story.changes("none") == []
    story.track("bob", "X")
    refreshed = next(
        key for key, held in story.world.profiles("users").items() if ("user_id", "bob") in held.identifiers
    )
    story.world.send("users", refreshed, envelope.refresh(story.at_ms))
    story.world.rest()
    assert story.changes("none") == [], "Ann satisfies it"


def test_a_condition_that_comes_back_is_asked_anew() -> None:
    any_ = of_accounts("any", "ANY (event('V').within(1 hour).count() >= 1)")
    story = Story(any_)
    story.group("ann", "acme")
    story.track("ann")
    assert story.changes("any") == [("acme", True)]
    story.world.change(Catalog())
    story.track("ann")
    story.wait(2 * 60 * MINUTE_MS)
    story.world.change(Catalog((any_,)))
    story.track("ann", "X")
    story.group("ann", "acme")
    assert story.changes("any") == [("acme", True), ("acme", False)]
    assert story.account("acme").emitted == {"any": False}


# ── users that are gone ───────────────────────────────────────────────────────────────────────────────────────────


def leave(story: Story, user: str, account: str) -> None:
    """The user is forgotten by its account, as a deletion has it."""
    users = story.world.profiles("users").items()
    key, held = next((key, held) for key, held in users if ("user_id", user) in held.identifiers)
    assert held.belonging is not None
    member = Member(story.at_ms, key, held.belonging.sent + 1, leaves=True)
    story.world.send("accounts", account, envelope.encode(member))


@pytest.mark.parametrize("seed", range(20))
def test_what_a_user_did_that_is_gone_counts_no_more(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "PORTION_MAX", 2)
    story = Story(VIEWS, of_accounts("all", "ALL (event('V').count() >= 2)"), BIG, drops=0.3, seed=seed)
    for number in range(6):
        story.track(f"u{number}")
        story.group(f"u{number}", "acme")
        if number:
            story.track(f"u{number}")
    assert story.account("acme").emitted["views"] == 11
    leave(story, "u0", "acme")
    # What happens while they are asked counts once, whoever has answered by then; who joins is in it, too.
    story.world.message(story.at_ms, {"type": "track", "event": "V", "userId": "u3", "messageId": "x1"})
    story.world.step(story.world.waiting()[-1])
    for number, user in enumerate(("u1", "u5", "u9")):
        story.world.message(story.at_ms, {"type": "track", "event": "V", "userId": user, "messageId": f"y{number}"})
    story.world.message(story.at_ms, {"type": "group", "userId": "u9", "messageId": "z", "groupId": "acme"})
    if seed % 2:
        leave(story, "u5", "acme")
    story.world.rest()
    left = story.account("acme")
    assert left.members is not None
    assert (left.members.fresh, left.members.telling, left.members.unanswered) == (None, [], 0)
    assert left.emitted["views"] == (11 if seed % 2 else 14)
    assert left.members.count == 6 - seed % 2


def test_the_last_user_takes_everything_along() -> None:
    story = Story(VIEWS, of_accounts("any", "ANY (event('V').count() >= 1)"))
    story.group("ann", "acme")
    story.track("ann")
    leave(story, "ann", "acme")
    story.world.rest()
    assert story.changes("views") == [("acme", 1), ("acme", 0)]
    assert story.changes("any") == [("acme", True), ("acme", False)]


def test_who_is_erased_is_forgotten_by_its_accounts() -> None:
    story = Story(VIEWS, BIG, IN_BIG, tell=("big",))
    for user in ("ann", "bob"):
        story.track(user)
        story.group(user, "acme", seats=20)
    key = next(key for key, held in story.world.profiles("users").items() if ("user_id", "ann") in held.identifiers)
    story.world.send("users", key, envelope.erase(story.at_ms, "r1"))
    story.world.rest()
    assert story.account("acme").emitted == {"views": 1, "big": True}
    assert [value for user, value in story.payloads("big") if user == "ann"] == [True, False]
