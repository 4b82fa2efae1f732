"""Members of accounts who are split: their accounts are what they would be had the two always been two."""

from __future__ import annotations

from typing import Any

import pytest

from app.definitions.model import Catalog
from app.identity.rules import Identifier
from app.profiles.state import Profile
from app.stages import envelope, links, telling
from app.stages.envelope import Member
from tests.stages.accounts_world import TOPICS, AccountsWorld
from tests.stages.splits import carried_out, said, under_way
from tests.stages.test_accounts import BIG, IN_BIG, VIEWS, Story, of_accounts

TABLET = ("anonymous_id", "tablet")
ASKED = (
    VIEWS,
    of_accounts("any", "ANY (event('V').count() >= 4)"),
    of_accounts("all", "ALL (event('V').count() >= 2)"),
    of_accounts("none", "NONE (event('V').count() >= 3)"),
    of_accounts("then", "event('V').where(trait('seats') >= 10).count()"),
    BIG,
    IN_BIG,
)


class Splitting(Story):
    """A story in which profiles are split."""

    splits = 0
    cut = 0
    """How many of each partition's first records the log no longer has."""

    def by(self, ids: dict[str, str], kind: str, **fields: Any) -> None:
        """A message by these identifiers."""
        self.at_ms += 1
        self.sent += 1
        self.world.pass_time(self.at_ms)
        self.world.message(self.at_ms, {"type": kind, "messageId": f"m{self.sent}", **ids, **fields})

    def phone(self, kind: str, **fields: Any) -> None:
        self.by({"userId": "ann"}, kind, **fields)

    def tablet(self, kind: str, **fields: Any) -> None:
        self.by({"anonymousId": "tablet"}, kind, **fields)

    def mistake(self) -> None:
        """The tablet is taken for Ann's."""
        self.by({"userId": "ann", "anonymousId": "tablet"}, "identify", traits={})

    def ask(self, identifier: Identifier = TABLET) -> None:
        """A split is asked for, and under way."""
        self.at_ms += 1
        self.splits += 1
        self.world.pass_time(self.at_ms)
        self.world.decide(self.at_ms, links.split(f"spl_{self.splits:024x}", identifier))

    def split(self) -> None:
        self.ask()
        self.rest()

    def carry_out(self) -> bool:
        """What is under way is folded; whether anything was."""
        found = [(each, place.store) for place in self.world.places for each in under_way(place.store)]
        for asked, store in found:
            _, told = carried_out(self.world.log, self.world.partitions, asked, store, cut=self.cut)
            for profile, values in told:
                for value in values:
                    self.world.send("users", profile, value)
        return bool(found)

    def rest(self) -> None:
        self.world.rest()
        while self.carry_out():
            self.world.rest()

    def owner(self, identifier: Identifier) -> Profile:
        users = self.world.profiles("users").values()
        return next(each for each in users if identifier in each.identifiers)

    def accounts_of(self, identifier: Identifier) -> set[str]:
        belonging = self.owner(identifier).belonging
        return set(belonging.accounts) if belonging is not None else set()

    def check_quiet(self) -> None:
        """Nobody is waited for, and who is in an account is who says so."""
        users = self.world.profiles("users")
        for id_, account in self.world.profiles("accounts").items():
            members = account.members
            assert members is not None
            assert (members.fresh, members.telling, members.unanswered) == (None, [], 0), id_
            inside = {user for user, (_, letters, _) in members.users.items() if letters is not None}
            of = {user for user, held in users.items() if held.belonging is not None and id_ in held.belonging.accounts}
            assert inside == of
            assert members.count == len(of)


def happen(story: Splitting, *, are_one: bool, groups: tuple[str, str]) -> None:
    """Bob's account, and Ann's and the tablet's, who view three times and twice, and go on to."""
    story.by({"userId": "bob"}, "group", groupId="acme", traits={"seats": 20})
    for _ in range(2):
        story.by({"userId": "bob"}, "track", event="V")
    for who, account in zip((story.phone, story.tablet), groups, strict=True):
        for number in range(3 if who == story.phone else 2):
            who("track", event="V")
            if number == 1 and account:
                who("group", groupId=account)
    if are_one:
        story.mistake()
    story.rest()


@pytest.mark.parametrize("groups", [("acme", "acme"), ("acme", ""), ("", "acme"), ("acme", "bits")])
@pytest.mark.parametrize("seed", range(8))
def test_accounts_are_as_if_the_two_had_never_met(
    groups: tuple[str, str], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "PORTION_MAX", 1 + seed % 3)
    one, two = Splitting(*ASKED, drops=0.3, seed=seed), Splitting(*ASKED, seed=seed)
    happen(one, are_one=True, groups=groups)
    happen(two, are_one=False, groups=groups)
    one.ask()
    if seed % 2:  # while it is under way they go on, and some of it is on its way when the two are there
        for story in (one, two):
            story.tablet("track", event="V")
            story.phone("track", event="V")
            story.tablet("group", groupId="coop")
        one.carry_out()
    one.rest()
    two.rest()
    for story in (one, two):
        story.tablet("track", event="V")
        story.phone("track", event="V")
        story.rest()
        story.check_quiet()
    for identifier in (TABLET, ("user_id", "ann")):
        assert one.accounts_of(identifier) == two.accounts_of(identifier)
        assert bool(one.owner(identifier).emitted.get("in_big")) == bool(two.owner(identifier).emitted.get("in_big"))
    for id_, account in two.world.profiles("accounts").items():
        assert said(one.account(id_).emitted) == said(account.emitted), id_


def test_what_both_have_done_for_an_account_is_never_counted_twice_on_the_way() -> None:
    for seed in range(12):
        story = Splitting(*ASKED, drops=0.3, seed=seed)
        happen(story, are_one=True, groups=("acme", "acme"))
        before = {key: len(story.changes(key)) for key in ("views", "any", "all", "none")}
        story.split()
        assert story.account("acme").emitted["views"] == 7
        later = {key: story.changes(key)[count:] for key, count in before.items()}
        assert later == {"views": [], "any": [("acme", False)], "all": [], "none": []}, f"seed {seed}"


@pytest.mark.parametrize("cut", range(1, 16, 2))
def test_what_the_log_no_longer_has_is_counted_once_by_an_account(cut: int) -> None:
    for seed in range(3):
        story = Splitting(*ASKED, drops=0.3, seed=seed)
        story.cut = cut
        happen(story, are_one=True, groups=("acme", "acme"))
        before = len(story.changes("views"))
        story.split()
        story.check_quiet()
        assert story.changes("views")[before:] == []
        story.tablet("track", event="V")
        story.phone("track", event="V")
        story.rest()
        # Whether the tablet is its user is only known where the log still has its call.
        assert story.account("acme").emitted["views"] == 8 + ("acme" in story.accounts_of(TABLET))


def test_who_leaves_an_account_is_told_so_and_may_come_back() -> None:
    story = Splitting(VIEWS, BIG, IN_BIG, tell=("big",))
    story.phone("track", event="V")
    story.tablet("group", groupId="acme", traits={"seats": 20})
    story.mistake()
    story.rest()
    assert story.payloads("big")[-1] == ("ann", True)
    story.split()
    assert story.payloads("big")[-1] == ("ann", False)
    assert (story.accounts_of(("user_id", "ann")), story.accounts_of(TABLET)) == (set(), {"acme"})
    assert story.owner(("user_id", "ann")).emitted["in_big"] is False
    belonging = story.owner(TABLET).belonging
    assert belonging is not None
    assert belonging.is_told("big"), "it knows what its account is, from the first moment"
    assert [value for _, value in story.changes("views")] == [1, 0]
    story.phone("track", event="V")
    story.phone("group", groupId="acme")
    story.rest()
    story.check_quiet()
    assert (story.payloads("big")[-1], story.account("acme").emitted["views"]) == (("ann", True), 2)


def test_who_is_in_no_account_any_more_counts_its_records_on() -> None:
    story = Splitting(of_accounts("blue", "event('V').where(property('blue') = true).count()"))
    story.mistake()
    story.tablet("group", groupId="acme")
    story.rest()
    story.split()
    assert story.accounts_of(("user_id", "ann")) == set()
    story.phone("track", event="V")  # no account keeps anything of it
    story.phone("group", groupId="acme")
    story.rest()
    story.check_quiet()


@pytest.mark.parametrize("seed", range(8))
def test_two_who_become_one_again_are_one_to_their_accounts(seed: int) -> None:
    story = Splitting(*ASKED, drops=0.3, seed=seed)
    happen(story, are_one=True, groups=("", "acme"))
    before = story.account("acme").emitted
    story.ask()
    story.at_ms += 1_000
    if seed % 2:
        story.rest()
    story.mistake()
    story.rest()
    story.check_quiet()
    assert story.accounts_of(("user_id", "ann")) == {"acme"}
    assert said(story.account("acme").emitted) == said(before)
    for _ in range(2):
        story.split()
        story.check_quiet()


@pytest.mark.parametrize("seed", range(8))
def test_who_was_taken_out_becomes_another_before_it_has_come(seed: int) -> None:
    story = Splitting(*ASKED, drops=0.3, seed=seed)
    happen(story, are_one=True, groups=("acme", "acme"))
    story.ask()
    story.at_ms += 1_000
    story.by({"userId": "bob" if seed % 2 else "cid", "anonymousId": "tablet"}, "identify", traits={})
    story.rest()
    story.check_quiet()
    account = story.account("acme")
    assert account.members is not None
    assert (account.members.count, account.emitted["views"]) == (3 - seed % 2, 7)


def test_of_an_account_that_counts_nothing_nobody_is_asked() -> None:
    story = Splitting(of_accounts("all", "ALL (event('V').count() >= 2)"))
    happen(story, are_one=True, groups=("acme", "acme"))
    story.split()
    story.check_quiet()
    told = [each for each in story.records(TOPICS.accounts_in) if type(each) is Member and each.parts]
    assert [each.expects != "" for each in told] == [True]
    assert not [each for each in story.records(TOPICS.profiles_in) if type(each) is envelope.Recollect]
    assert story.account("acme").emitted["all"] is True


def test_without_definitions_of_accounts_they_belong_to_what_they_have_called() -> None:
    world = AccountsWorld(Catalog(), 2, Splitting().world.random)
    story = Splitting()
    story.world = world
    happen(story, are_one=True, groups=("acme", "bits"))
    story.split()
    assert (story.accounts_of(("user_id", "ann")), story.accounts_of(TABLET)) == ({"acme"}, {"bits"})
    story.check_quiet()
