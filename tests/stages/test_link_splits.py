"""Requests to take an identifier out of its profile: what is answered, who is told, and what links the two again."""

from __future__ import annotations

import orjson
import pytest

from app.activation.wire import iso
from app.identity.graph import HEARD_MS
from app.identity.regulations import RegulationType
from app.ids import profile_id
from app.profiles.seen import DAY_MS, DAYS_KEPT
from app.stages import link_state, links
from app.stages.decided import DECIDED
from app.stages.records import Work
from app.stages.splitting import taken_of
from tests.simulation.store import SimStore
from tests.stages.test_link import AT_MS, Rig, anonymous, profiles_in, request, told, user

ID, OTHER = f"spl_{1:024x}", f"spl_{2:024x}"
ANN, PHONE = user("ann"), anonymous("phone")
PROFILE = profile_id(*ANN)


def split(rig: Rig, *ids: tuple[str, tuple[str, str]]) -> Work:
    return rig.take(*(links.split(id_, identifier) for id_, identifier in ids))


def answer(rig: Rig, id_: str) -> link_state.Answer:
    return link_state.answer_of(rig.store.get(link_state.answer_key(id_)))


def said(
    partition: int, at_ms: int, *, timestamp: str | None = None, id_: str = "m:both", again: bool = False
) -> bytes:
    message = orjson.dumps({"timestamp": timestamp} if timestamp is not None else {})
    return links.link(partition, 50, at_ms, id_, "track", "Seen", [ANN, PHONE], None, message, again=again)


def events(work: Work) -> list[tuple[str, list[list[str]]]]:
    """(profile, identifiers) of each message that was decided."""
    return [(profile, body["ids"]) for profile, body in profiles_in(work) if body["kind"] == "event"]


BOTH = [list(ANN), list(PHONE)]


def two() -> Rig:
    rig = Rig()
    rig.take(request(ANN, PHONE, partition=1), request(ANN, partition=3))
    return rig


def test_an_identifier_makes_a_profile_and_whoever_met_it_is_told() -> None:
    rig = two()
    work = split(rig, (ID, PHONE))
    into = answer(rig, ID).into
    assert answer(rig, ID) == link_state.Answer(AT_MS, PROFILE, into)
    assert sorted(profiles_in(work)) == sorted(
        [
            (
                PROFILE,
                {"kind": "part", "at": AT_MS, "id": ID, "ids": [list(PHONE)], "into": into, "number": 2, "since": {}},
            ),
            (into, {"kind": "absorb", "at": AT_MS, "id": ID, "loser": taken_of(ID)}),
        ]
    )
    assert told(work) == {p: [(b"anonymous_id:phone", {"profile": into, "apart": True})] for p in (1, 3)}
    assert rig.store.get(b"i|anonymous_id:phone") == into.encode()
    assert rig.store.get(b"i|user_id:ann") == PROFILE.encode()
    assert into not in (PROFILE, profile_id(*PHONE))


def test_the_same_request_again_does_nothing() -> None:
    rig = two()
    first = split(rig, (ID, PHONE))
    again = split(rig, (ID, PHONE), (ID, ANN))
    assert first.outputs
    assert (again.outputs, again.later) == ({}, {})


@pytest.mark.parametrize(
    ("identifier", "reason"), [(anonymous("nobody"), "nobody is known"), (user("bo"), "the only identifier")]
)
def test_what_cannot_be_done_is_refused_and_answered(identifier: tuple[str, str], reason: str) -> None:
    rig = two()
    rig.take(request(user("bo")))
    work = split(rig, (ID, identifier))
    assert (work.outputs, work.later) == ({}, {})
    assert reason in answer(rig, ID).refused
    assert b"k|" + ID.encode() in dict(work.changelog)


def test_no_id_is_given_twice() -> None:
    rig = two()
    split(rig, (ID, PHONE))
    rig.take(said(1, AT_MS + 1))
    split(rig, (OTHER, PHONE))
    assert answer(rig, ID).into != answer(rig, OTHER).into


def test_what_was_said_before_links_nothing_and_the_profile_says_whose_it_is() -> None:
    rig = two()
    split(rig, (ID, PHONE))
    before = iso(AT_MS - 1)
    for number, (at_ms, timestamp) in enumerate(((AT_MS, None), (AT_MS - 5, None), (AT_MS + 10_000, before))):
        work = rig.take(said(2, at_ms, timestamp=timestamp, id_=f"m:{number}"))
        assert [(profile, body["kind"], body["ids"]) for profile, body in profiles_in(work)] == [
            (PROFILE, "event", BOTH)
        ]
        assert not any(key is not None and key.startswith(b"\x1f") for key, _ in told(work)[2]), "no verdict of it"


def test_what_is_said_later_links_them_again() -> None:
    rig = two()
    split(rig, (ID, PHONE))
    into = answer(rig, ID).into
    work = rig.take(said(2, AT_MS + 1, timestamp=iso(AT_MS + 1)))
    kinds = {(profile, body["kind"]) for profile, body in profiles_in(work)}
    assert kinds == {(PROFILE, "absorb"), (into, "merge"), (PROFILE, "event")}
    # And what is older still is the one profile's.
    assert events(rig.take(said(2, AT_MS - 5, id_="m:older"))) == [(PROFILE, BOTH)]


def test_nothing_is_decided_behind_a_split_before_it_is_where_it_belongs() -> None:
    rig = two()
    before, back = rig.offset, said(2, AT_MS + 1, timestamp=iso(AT_MS + 1))
    work = rig.take(links.split(ID, PHONE), back)
    assert {body["kind"] for _, body in profiles_in(work)} == {"part", "absorb"}
    assert work.src_next == before + 1
    # The two come together again only when the `part` is in the log.
    assert {body["kind"] for _, body in profiles_in(rig.take(back))} == {"absorb", "merge", "event"}


def test_the_graph_after_a_restore_is_the_graph() -> None:
    rig = two()
    split(rig, (ID, PHONE))
    rig.take(said(2, AT_MS + 1))
    split(rig, (OTHER, ANN))
    other = Rig()
    link_state.apply(other.store, rig.changelog, len(rig.changelog) - 1)
    assert other.store.data == rig.store.data


def test_what_is_no_request() -> None:
    rig = two()
    work = rig.take(
        b'{"kind":"split","id":"x","ids":[["user_id","ann"]]}', b'{"kind":"split","id":"' + ID.encode() + b'"}'
    )
    assert work.facts.invalid == {"not_understood": 2}


@pytest.mark.parametrize("first", [ANN, PHONE])
@pytest.mark.parametrize("is_merged", [False, True])
def test_the_profile_that_both_have_left_says_whose_a_message_is(first: tuple[str, str], is_merged: bool) -> None:
    """Or what it has become part of: whoever has not heard of either split has sent it there before."""
    rig = Rig()
    rig.take(request(user("zoe")), request(ANN, PHONE, anonymous("tv")))
    split(rig, (ID, first))
    split(rig, (OTHER, PHONE if first == ANN else ANN))
    asked = PROFILE
    if is_merged:
        rig.take(links.link(1, 60, AT_MS + 5, "m:5", "track", "Seen", [user("zoe"), anonymous("tv")], None, b"{}"))
        asked = profile_id(*user("zoe"))
    assert events(rig.take(said(1, AT_MS))) == [(asked, BOTH)]


@pytest.mark.parametrize("is_last", [True, False])
def test_it_is_the_first_that_they_ever_left(is_last: bool) -> None:
    rig = Rig()
    rig.take(request(ANN, PHONE, anonymous("tv")))
    split(rig, (ID, PHONE))
    split(rig, (OTHER, ANN))
    rig.take(links.link(1, 60, AT_MS + 5, "m:5", "track", "Seen", [ANN, anonymous("car")], None, b"{}"))
    rig.at_ms = AT_MS + 10
    split(rig, (f"spl_{3:024x}", ANN))
    # Read again, it may have gone there straight, however new it is.
    asked = said(1, AT_MS) if is_last else said(1, AT_MS + 20, again=True)
    assert events(rig.take(asked)) == [(PROFILE, BOTH)]


def test_who_left_more_than_days_ago_is_linked_by_what_is_read_again() -> None:
    rig = two()
    split(rig, (ID, PHONE))
    into = answer(rig, ID).into
    late_ms = AT_MS + HEARD_MS
    assert events(rig.take(said(2, late_ms, again=True, id_="m:1"))) == [(PROFILE, BOTH)]
    kinds = {(profile, body["kind"]) for profile, body in profiles_in(rig.take(said(2, late_ms + 1, again=True)))}
    assert kinds == {(PROFILE, "absorb"), (into, "merge"), (PROFILE, "event")}


def test_who_became_somebody_else_s_is_not_asked_for_there() -> None:
    """What was taken out, erased, and is another's now has nothing to do with where it had been."""
    rig = Rig()
    rig.take(request(ANN, PHONE, anonymous("tv")))
    split(rig, (ID, PHONE))
    split(rig, (OTHER, ANN))
    rig.take(links.regulation("reg_1", RegulationType.DELETE_ONLY, AT_MS, PHONE))
    rig.take(request(user("bo"), PHONE))
    assert events(rig.take(said(1, AT_MS))) == [(PROFILE, [list(ANN)])]


def test_where_what_they_left_is_erased_it_is_decided_as_ever() -> None:
    rig = Rig()
    rig.take(request(ANN, PHONE, anonymous("tv")))
    split(rig, (ID, PHONE))
    rig.at_ms = AT_MS + 10
    split(rig, (OTHER, ANN))
    rig.take(links.regulation("reg_1", RegulationType.DELETE_ONLY, AT_MS, anonymous("tv")))
    into = answer(rig, ID).into
    assert events(rig.take(said(1, AT_MS))) == [(into, [list(PHONE)])]


@pytest.mark.parametrize("is_restored", [True, False])
def test_a_message_of_who_was_taken_out_is_decided_once(is_restored: bool) -> None:
    rig = two()
    split(rig, (ID, PHONE))
    assert len(events(rig.take(said(2, AT_MS + 1), said(2, AT_MS + 1, again=True)))) == 1
    rig.at_ms = AT_MS + 10
    split(rig, (OTHER, ANN))
    if is_restored:
        other = Rig()
        link_state.apply(other.store, rig.changelog, len(rig.changelog) - 1)
        assert other.store.data == rig.store.data
        other.stage.reload()
        other.offset, rig = rig.offset, other
    again = rig.take(said(2, AT_MS + 1, again=True))
    assert (again.outputs, told(again)) == ({}, {2: [(b"\0answered", {"upto": 50})]})


def test_what_was_decided_long_ago_is_forgotten() -> None:
    rig = two()
    split(rig, (ID, PHONE))
    for number in range(20):
        rig.take(said(2, AT_MS + number // 2 * DAY_MS, id_=f"m:{number}"))
    kept = [key for key in rig.store.data if key.startswith(DECIDED)]
    assert len(kept) == 2 * (DAYS_KEPT + 1)
    restored = SimStore()
    link_state.apply(restored, rig.changelog, len(rig.changelog) - 1)
    assert restored.data == rig.store.data
