"""Members of accounts who have counted messages of one id and become one: their accounts count each once, too."""

from __future__ import annotations

import pytest

from app.definitions.model import Definition
from app.stages import reports, telling
from tests.stages.splits import said
from tests.stages.test_account_splits import ASKED, Splitting
from tests.stages.test_accounts import IN_BIG, of_accounts

GROUPS = [("acme", "acme"), ("acme", ""), ("", "acme"), ("acme", "bits"), ("", "")]


def happen(story: Splitting, groups: tuple[str, str], *, are_one: bool) -> None:
    """Bob's account; Ann's phone and the tablet, which view, and of whose views two are one message."""
    if are_one:
        story.mistake()
    story.by({"userId": "bob"}, "group", groupId="acme", traits={"seats": 20})
    story.by({"userId": "bob"}, "track", event="V")
    story.phone("track", event="V", messageId="twin")
    for who, account in zip((story.phone, story.tablet), groups, strict=True):
        if account:
            who("group", groupId=account)
    story.tablet("track", event="V", messageId="tablet's")
    story.tablet("track", event="V", messageId="twin")
    story.phone("track", event="V", messageId="tablet's")
    story.tablet("track", event="V")
    story.rest()
    if not are_one:
        story.mistake()
        story.rest()


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("seed", range(8))
def test_accounts_are_as_if_the_two_had_been_one(
    groups: tuple[str, str], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "PORTION_MAX", 1 + seed % 3)
    if seed % 2:
        monkeypatch.setattr(reports, "PIECE_BYTES", 24)
    one, two = Splitting(*ASKED, drops=0.3, seed=seed), Splitting(*ASKED, seed=seed)
    happen(one, groups, are_one=False)
    happen(two, groups, are_one=True)
    for story in (one, two):
        story.tablet("track", event="V")
        story.phone("group", groupId="coop")
        story.rest()
        story.check_quiet()
    ann = ("user_id", "ann")
    assert one.accounts_of(ann) == two.accounts_of(ann)
    assert bool(one.owner(ann).emitted.get(IN_BIG.key)) == bool(two.owner(ann).emitted.get(IN_BIG.key))
    assert one.world.profiles("accounts").keys() == two.world.profiles("accounts").keys()
    for id_, account in two.world.profiles("accounts").items():
        assert said(one.account(id_).emitted) == said(account.emitted), id_
    assert two.account("coop").emitted["views"] == 4


def test_the_account_of_both_keeps_its_answer_until_it_knows_the_right_one() -> None:
    for seed in range(12):
        story = Splitting(*ASKED, drops=0.3, seed=seed)
        happen(story, ("acme", "acme"), are_one=False)
        assert story.account("acme").emitted["views"] == 4
        # Two of them had been said twice; not once was it less than what there is.
        assert [value for _, value in story.changes("views")] == [1, 2, 3, 4, 5, 6, 4], f"seed {seed}"


def test_nobody_has_gone_so_words_of_what_the_account_was_stay() -> None:
    word = Definition("word", "trait", "event('W').last(property('w'))", "ACCOUNTS")
    story = Splitting(word, of_accounts("asked", "event('V').where(trait('word') = 'old').count()"))
    story.by({"userId": "bob"}, "group", groupId="acme")
    for each in ("old", "new"):
        story.by({"userId": "bob"}, "track", event="W", properties={"w": each})
        story.by({"userId": "bob"}, "track", event="V")
    happen(story, ("acme", "acme"), are_one=False)
    assert story.account("acme").emitted == {"word": "new", "asked": 1}
    assert max(members.asked for members in [story.account("acme").members] if members is not None) == 1
