"""`trait('…')` of an account inside `where`: what it was when an event came, whoever's account it was then."""

from __future__ import annotations

from typing import Any

import pytest

from app.definitions.model import Catalog, Definition
from app.profiles.unjudged import Unjudged
from app.stages import envelope, telling
from app.stages.envelope import Member
from app.stages.meta import CATALOG_KEY
from app.topics import partition_of
from tests.stages.accounts_world import TOPICS
from tests.stages.test_account_splits import TABLET, Splitting
from tests.stages.test_accounts import MINUTE_MS, VIEWS, Story, leave, of_accounts

PRO = of_accounts("pro", "event('V').where(trait('plan') = 'pro').count()")
LATELY = of_accounts("lately", "event('V').where(trait('plan') = 'pro').within(1 hour).count()")


def moves(story: Story) -> None:
    """Bob's account is free, pro, free; Ann views once before it is there, and once in each."""
    story.track("ann")
    for plan in ("free", "pro", "free"):
        story.group("bob", "acme", plan=plan)
        story.track("ann")


def kept(story: Story, user: str) -> list[list[Any]]:
    """What a user keeps, cell by cell."""
    belonging = story.user(user).belonging
    return [cell for cells in belonging.cells.values() for cell in cells.values()] if belonging is not None else []


def test_who_joins_brings_events_along_that_are_judged_by_what_the_account_was() -> None:
    old = of_accounts("old", "event('V').where(trait('plan').absent()).count()")
    story = Story(PRO, old)
    moves(story)
    assert story.changes("pro") == []
    story.group("ann", "acme")
    assert (story.changes("pro"), story.changes("old")) == ([("acme", 1)], [("acme", 1)])
    story.group("bob", "acme", plan="pro")
    story.track("ann")
    assert story.changes("pro") == [("acme", 1), ("acme", 2)]
    story.group("ann", "bits", plan="pro")
    assert story.account("bits").emitted == {"old": 5}, "it has been nothing before"


def test_an_account_that_is_joined_later_is_another() -> None:
    story = Story(PRO)
    story.group("bob", "acme", plan="free")
    story.group("eve", "bits", plan="pro")
    story.group("ann", "acme")
    story.track("ann")
    assert story.changes("pro") == []
    story.group("ann", "bits")
    assert story.changes("pro") == [("bits", 1)]


def test_answers_are_as_they_were_too() -> None:
    story = Story(
        VIEWS,
        of_accounts("lively", "ANY (event('V').within(1 hour).count() >= 1)"),
        of_accounts("second", "event('W').where(trait('views') = 1).count()"),
        of_accounts("then", "event('W').where(trait('lively') = true).count()"),
    )
    story.group("bob", "acme")
    story.track("ann", "W")
    story.track("bob")
    story.track("ann", "W")
    story.track("bob")
    story.track("ann", "W")
    story.wait(2 * 60 * MINUTE_MS)
    story.track("ann", "W")
    story.group("ann", "acme")
    assert (story.changes("second"), story.changes("then")) == ([("acme", 1)], [("acme", 2)])


def test_at_one_instant_what_came_first_is_first_and_time_before_it() -> None:
    """Ann's message of the millisecond in which Bob's account changes by time; and one of hers before her own call."""
    story = Story(of_accounts("calm", "event('V').where(trait('lately') = true).count()"),
                  of_accounts("lately", "event('B').within(1 minute).count() = 0"))  # fmt: skip
    story.group("bob", "acme")
    story.track("bob", "B")
    story.track("ann", after_ms=MINUTE_MS - 1)
    story.track("ann")
    story.group("ann", "acme")
    assert story.changes("lately") == [("acme", True), ("acme", False), ("acme", True)]
    assert story.changes("calm") == [("acme", 1)]


@pytest.mark.parametrize("portion", [1, 500])
def test_who_is_asked_once_more_has_not_forgotten(portion: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "PORTION_MAX", portion)
    story = Story(PRO)
    moves(story)
    story.group("ann", "acme", plan="pro")
    story.track("ann")
    story.track("bob")
    story.group("eve", "acme")
    story.track("eve")
    assert story.changes("pro")[-1] == ("acme", 4)
    leave(story, "eve", "acme")
    story.world.rest()
    assert story.changes("pro")[-1] == ("acme", 3), "without Eve's, with all that the others' saw of the account"


def test_who_is_erased_takes_all_of_it_along() -> None:
    story = Story(PRO)
    moves(story)
    story.group("ann", "acme")
    key = next(key for key, held in story.world.profiles("users").items() if ("user_id", "ann") in held.identifiers)
    story.world.send("users", key, envelope.erase(story.at_ms, "r1"))
    story.world.rest()
    assert story.changes("pro")[-1] == ("acme", 0)
    gone = story.world.profiles("users")[key]
    assert (gone.belonging, gone.cells) == (None, {})


def test_the_words_of_who_is_forgotten_are_in_nothing_that_an_account_was() -> None:
    said = of_accounts("said", "event('V').where(trait('note') = 'secret').count()")
    same = of_accounts("same", "event('V').where(event('W').where(property('w') = trait('note')).count() > 0).count()")
    numbers = of_accounts("third", "event('V').where(trait('views') >= 2).count()")
    note = Definition("note", "trait", "event('V').last(property('note'))", "ACCOUNTS")
    story = Story(said, same, note, numbers, VIEWS)
    for user in ("bob", "eve", "ann"):
        story.group(user, "acme")
        story.track(user, properties={"note": "secret" if user == "eve" else "mine"})
        story.track(user, "W", properties={"w": user})
    assert (story.account("acme").emitted["said"], story.account("acme").emitted["third"]) == (1, 1)
    story.track("eve", properties={"note": "secret"})
    leave(story, "eve", "acme")
    # While the others are asked, the account's answers are as they were.
    story.world.message(story.at_ms, {"type": "track", "event": "V", "userId": "bob", "messageId": "x1"})
    story.world.message(story.at_ms, {"type": "track", "event": "W", "userId": "bob", "messageId": "x2"})
    story.world.rest()
    place = next(each for each in story.world.places
                 if each.collection == "accounts" and each.partition == partition_of(b"acme", 2))  # fmt: skip
    assert not [key for key, value in place.store.data.items() if b"secret" in value and key != CATALOG_KEY]
    assert story.account("acme").emitted["third"] == 2, "what a number was is known: Ann's and Bob's last"


def test_users_that_become_one_bring_along_what_either_has() -> None:
    story = Story(PRO)
    story.say("bob", "group", groupId="acme", traits={"plan": "pro"})
    story.track("ann")
    for kind, more in (("track", {"event": "V"}), ("group", {"groupId": "coop"})):
        story.at_ms += 1
        story.sent += 1
        story.world.message(story.at_ms, {"type": kind, "anonymousId": "a1", "messageId": f"m{story.sent}", **more})
        story.world.rest()
    story.group("bob", "acme", plan="free")
    story.say("ann", "identify", anonymousId="a1", traits={})
    story.group("ann", "acme")
    assert story.changes("pro") == [("acme", 2)]


@pytest.mark.parametrize("cut", [0, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_whose_identifier_was_another_is_judged_as_if_it_had_never_been(seed: int, cut: int) -> None:
    one, two = (Splitting(PRO, LATELY, drops=0.3, seed=seed) for _ in range(2))
    for story in (one, two):
        for plan in ("pro", "free"):
            story.by({"userId": "bob"}, "group", groupId="acme", traits={"plan": plan})
            story.rest()
            story.phone("track", event="V")
            story.tablet("track", event="V")
        story.phone("group", groupId="acme")
        story.phone("track", event="V")
        story.rest()
    one.mistake()
    one.rest()
    assert one.account("acme").emitted["pro"] == 2
    one.cut = cut
    one.split()
    one.check_quiet()
    if cut:  # what the log no longer has stays with Ann, and counts once
        assert one.account("acme").emitted["pro"] in (1, 2)
        one.tablet("group", groupId="acme")
        one.rest()
        assert one.account("acme").emitted["pro"] == 2
        return
    assert one.account("acme").emitted["pro"] == two.account("acme").emitted["pro"] == 1
    for story in (one, two):
        story.tablet("group", groupId="acme")
        story.rest()
        assert story.account("acme").emitted == {"pro": 2, "lately": 2}
    assert one.accounts_of(TABLET) == {"acme"}


def test_only_what_is_looked_at_is_kept_and_passed_on() -> None:
    chain = "event('V').sources(exclude: {'phone'}).where(property('a.b') > 1 AND context('page.url').exists() AND "
    story = Story(of_accounts("few", chain + "trait('plan') = 'pro').count()"))
    story.group("bob", "acme", plan="pro")
    page = {"page": {"url": "u"}, "ip": "::1"}
    story.track("ann", properties={"a": {"b": 2}, "c": 3}, context=page, sourceId="web")
    assert [each[4:] for each in kept(story, "ann")[0]] == [[{"a": {"b": 2}}, {"page": {"url": "u"}}, "web"]]
    before = len(story.records(TOPICS.accounts_in))
    for more in ({"properties": {"a": {"b": 1}}}, {"sourceId": "phone"}, {"context": {}}):
        story.track("bob", **{"properties": {"a": {"b": 2}}, "context": page, **more})  # type: ignore[arg-type]
    assert kept(story, "bob") == []
    assert len(story.records(TOPICS.accounts_in)) == before
    story.group("ann", "acme")
    assert story.changes("few") == [("acme", 1)]


def test_it_is_kept_as_long_as_it_can_count() -> None:
    story = Story(LATELY)
    moves(story)
    assert [len(each) for each in kept(story, "ann")] == [4]
    story.wait(61 * MINUTE_MS)
    story.track("ann")
    assert [len(each) for each in kept(story, "ann")] == [1]
    story.group("bob", "acme", plan="pro")
    history = story.account("acme").history
    assert history is not None
    assert [value for _, _, value in history.traits["plan"]] == ["free", "pro"]


def test_who_is_not_asked_keeps_nothing() -> None:
    of_user = of_accounts("any", "ANY (event('V').where(trait('plan') = 'pro').count() > 0)")
    story = Story(VIEWS, of_user, of_accounts("outside", "trait('plan') = 'pro' AND event('V').count() > 0"))
    moves(story)
    story.group("ann", "acme")
    assert kept(story, "ann") == [4], "a count"
    assert story.account("acme").history is None
    members = [each for each in story.records(TOPICS.accounts_in) if type(each) is Member]
    assert {each.arrival for each in members} == {0}


def test_what_a_new_definition_asks_is_known_from_then_on_and_goes_with_the_last_that_asks() -> None:
    story = Story(VIEWS)
    story.group("bob", "acme", plan="pro")
    story.world.change(Catalog((PRO,)))
    story.world.rest()
    story.track("ann")
    story.group("bob", "acme", plan="free")
    story.track("ann")
    story.group("ann", "acme")
    assert story.changes("pro") == [("acme", 1)]
    assert story.account("acme").history is not None
    story.world.change(Catalog((VIEWS,)))
    for user in ("ann", "bob"):
        story.track(user)
    assert story.account("acme").history is None
    assert not [each for cells in (story.user("ann").belonging or 0).cells.values() for each in cells if "~" in each]  # type: ignore[union-attr]


def test_a_kept_event_is_what_it_says() -> None:
    story = Story(PRO)
    story.track("ann", timestamp="2025-12-31T23:00:00Z")
    ((event,),) = kept(story, "ann")
    found = Unjudged._make(event)
    assert (found.at_ms, found.since_ms) == (1_767_222_000_000, story.at_ms)
    assert found.arrival >> 20 == story.at_ms
