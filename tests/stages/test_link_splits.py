"""Requests to take an identifier out of its profile: what is answered, who is told, and what links the two again."""

from __future__ import annotations

import orjson
import pytest

from app.activation.wire import iso
from app.ids import profile_id
from app.stages import link_state, links
from app.stages.records import Work
from app.stages.splitting import taken_of
from tests.stages.test_link import AT_MS, Rig, anonymous, profiles_in, request, told, user

ID, OTHER = f"spl_{1:024x}", f"spl_{2:024x}"
ANN, PHONE = user("ann"), anonymous("phone")
PROFILE = profile_id(*ANN)


def split(rig: Rig, *ids: tuple[str, tuple[str, str]]) -> Work:
    return rig.take(*(links.split(id_, identifier) for id_, identifier in ids))


def answer(rig: Rig, id_: str) -> link_state.Answer:
    return link_state.answer_of(rig.store.get(link_state.answer_key(id_)))


def said(partition: int, at_ms: int, *, timestamp: str | None = None, offset: int = 50) -> bytes:
    message = orjson.dumps({"timestamp": timestamp} if timestamp is not None else {})
    return links.link(partition, offset, at_ms, "m:again", "track", "Seen", [ANN, PHONE], None, message)


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
    assert told(work) == {p: [(b"anonymous_id:phone", {"profile": into})] for p in (1, 3)}
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


def test_what_was_said_before_links_nothing_and_is_the_others() -> None:
    rig = two()
    split(rig, (ID, PHONE))
    into = answer(rig, ID).into
    before = iso(AT_MS - 1)
    for at_ms, timestamp in ((AT_MS, None), (AT_MS - 5, None), (AT_MS + 10_000, before)):
        work = rig.take(said(2, at_ms, timestamp=timestamp))
        ((profile, body),) = profiles_in(work)
        assert (profile, body["kind"], body["ids"]) == (into, "event", [list(PHONE)])
        assert not any(key is not None and key.startswith(b"\x1f") for key, _ in told(work)[2]), "no verdict of it"


def test_what_is_said_later_links_them_again() -> None:
    rig = two()
    split(rig, (ID, PHONE))
    into = answer(rig, ID).into
    work = rig.take(said(2, AT_MS + 1, timestamp=iso(AT_MS + 1)))
    kinds = {(profile, body["kind"]) for profile, body in profiles_in(work)}
    assert kinds == {(PROFILE, "absorb"), (into, "merge"), (PROFILE, "event")}
    # And what is older still is the one profile's.
    ((profile, body),) = profiles_in(rig.take(said(2, AT_MS - 5)))
    assert (profile, len(body["ids"])) == (PROFILE, 2)


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
def test_a_message_that_is_read_again_goes_with_the_first_of_them_to_leave(
    first: tuple[str, str], is_merged: bool
) -> None:
    """As the profile passes it on, which is sent it by whoever has not heard of either split."""
    rig = Rig()
    rig.take(request(user("zoe")), request(ANN, PHONE, anonymous("tv")))
    other = PHONE if first == ANN else ANN
    split(rig, (ID, first))
    split(rig, (OTHER, other))
    if is_merged:  # what they were taken out of is part of an older one now
        rig.take(links.link(1, 60, AT_MS + 5, "m:5", "track", "Seen", [user("zoe"), anonymous("tv")], None, b"{}"))
    work = rig.take(said(1, AT_MS))
    ((profile, body),) = [(profile, body) for profile, body in profiles_in(work) if body["kind"] == "event"]
    assert (profile, body["ids"]) == (answer(rig, ID).into, [list(first)])


def test_it_goes_so_where_one_of_them_has_left_once_more() -> None:
    rig = Rig()
    rig.take(request(ANN, PHONE, anonymous("tv")))
    split(rig, (ID, PHONE))
    split(rig, (OTHER, ANN))
    rig.take(links.link(1, 60, AT_MS + 5, "m:5", "track", "Seen", [ANN, anonymous("car")], None, b"{}"))
    split(rig, (f"spl_{3:024x}", ANN))
    work = rig.take(said(1, AT_MS))
    ((profile, body),) = [(profile, body) for profile, body in profiles_in(work) if body["kind"] == "event"]
    assert (profile, body["ids"]) == (answer(rig, ID).into, [list(PHONE)])


def test_it_is_decided_again_as_it_was_when_another_has_left_and_come_back() -> None:
    rig = Rig()
    rig.take(request(ANN, PHONE, anonymous("tv")))
    split(rig, (ID, PHONE))
    first = rig.take(said(1, AT_MS))
    rig.at_ms = AT_MS + 10
    split(rig, (OTHER, ANN))
    rig.take(links.link(1, 60, AT_MS + 20, "m:20", "track", "Seen", [ANN, anonymous("tv")], None, b"{}"))
    again = rig.take(said(1, AT_MS))
    for work in (first, again):
        events = [(profile, body["ids"]) for profile, body in profiles_in(work) if body["kind"] == "event"]
        assert events == [(answer(rig, ID).into, [list(PHONE)])]
