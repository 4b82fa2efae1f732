"""Regulations in the linker's order: who is erased, who is kept out, who is told; and that nobody's name is kept."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.identity.regulations import RegulationType, identifier_hash
from app.identity.rules import Identifier
from app.ids import profile_id
from app.stages import assignments, link_state, links
from app.stages.records import Work
from tests.simulation.log import Record
from tests.simulation.store import SimStore
from tests.stages.test_link import AT_MS, PARTITIONS, TOPICS, Rig, anonymous, request, user

ONLY, BOTH = RegulationType.SUPPRESS_ONLY, RegulationType.SUPPRESS_WITH_DELETE
DELETE, LIFT = RegulationType.DELETE_ONLY, RegulationType.UNSUPPRESS
ANN = profile_id("user_id", "ann")


def regulation(kind: RegulationType, subject: Identifier, id_: str = "reg_1") -> bytes:
    return links.regulation(id_, kind, AT_MS, subject)


def decided(work: Work) -> list[dict[str, Any]]:
    return [orjson.loads(value or b"") for _, value, _ in work.outputs.get((TOPICS.regulations, 0), [])]


def erased(work: Work) -> list[str]:
    return [
        (key or b"").decode()
        for (topic, _), records in work.outputs.items() if topic == TOPICS.profiles_in
        for key, value, _ in records if orjson.loads(value or b"") == {"kind": "erase", "at": AT_MS, "id": "reg_1"}
    ]  # fmt: skip


def events(work: Work) -> list[str]:
    return [
        (key or b"").decode()
        for (topic, _), records in work.outputs.items() if topic == TOPICS.profiles_in
        for key, value, _ in records if orjson.loads(value or b"")["kind"] == "event"
    ]  # fmt: skip


def known(rig: Rig) -> bytes:
    return b"\n".join(key + b" " + value for key, value in sorted(rig.store.data.items()) if key != b"m|log")


def test_a_person_is_erased_with_all_that_was_taken_in() -> None:
    rig = Rig()
    rig.take(request(user("ann"), partition=1), request(anonymous("dev"), partition=2))
    rig.take(request(user("ann"), anonymous("dev"), ("email", "ann@x"), partition=3))  # fmt: skip
    work = rig.take(regulation(BOTH, ("email", "ann@x")))
    loser = profile_id("anonymous_id", "dev")
    assert sorted(erased(work)) == sorted([ANN, loser])
    assert decided(work) == [
        {"kind": "decided", "id": "reg_1", "type": "SUPPRESS_WITH_DELETE", "at": AT_MS, "suppressed": 3, "lifted": 0,
         "erased": 3, "profiles": [ANN, loser]}
    ]  # fmt: skip
    names = [user("ann"), anonymous("dev"), ("email", "ann@x")]
    for partition in range(PARTITIONS):  # those too that never met her
        told = {key: value for key, value, _ in work.later[TOPICS.identity_assignments, partition]}
        assert [told[assignments.identifier_key(each)] for each in names] == [None] * 3
        assert all(told[b"\x1e" + identifier_hash(each)] == b"{}" for each in names)
        assert {key for key in told if key and key[:1] == b"\x1d"} == {b"\x1d" + each.encode() for each in (ANN, loser)}
    assert (b"g|" + ANN.encode(), None) in work.changelog
    text = known(rig)
    assert b"ann" not in text
    assert b"dev" not in text
    assert b"r|" not in text
    work = rig.take(request(user("ann"), offset=8), request(user("bob"), anonymous("dev"), offset=9))
    assert (events(work), work.facts.suppressed) == ([], 2)
    answers = list(work.later[TOPICS.identity_assignments, 0])
    assert answers == [assignments.answered(9)], "who waits must not wait for ever"


def test_who_is_deleted_may_come_back_as_somebody_else() -> None:
    rig = Rig()
    rig.take(request(user("ann"), partition=1))
    seen: set[str] = {ANN}
    for number in range(3):
        work = rig.take(links.regulation(f"reg_{number}", DELETE, AT_MS, user("ann")), request(user("ann")))
        (profile,) = events(work)
        assert profile not in seen, "an id was given twice"
        assert profile == profile_id("user_id", "ann", number + 1)
        seen.add(profile)
    again = Rig()
    again.store.write(rig.store.data, 0)
    again.stage.reload()
    again.offset = rig.offset
    (profile,) = events(again.take(links.regulation("reg_9", DELETE, AT_MS, user("ann")), request(user("ann"))))
    assert profile == profile_id("user_id", "ann", 4)


@pytest.mark.parametrize("is_merged", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_whose_name_somebody_else_goes_by_comes_back_under_another(is_merged: bool, at_once: bool) -> None:
    """Ann's profile is called by her; she has left it, and was erased. It is still there, or part of Zoe's."""
    rig = Rig()
    rig.take(request(user("zoe")))
    rig.take(request(user("ann"), anonymous("dev")))
    rig.take(links.split("spl_000000000000000000000001", ("user_id", "ann")))
    if is_merged:
        rig.take(request(user("zoe"), anonymous("dev")))
    erasing, back = regulation(DELETE, ("user_id", "ann")), request(user("ann"), offset=9)
    works = [rig.take(erasing, back)] if at_once else [rig.take(erasing), rig.take(back)]
    (came,) = events(works[-1])
    assert came not in {ANN, *erased(works[0])}
    for others in (request(anonymous("dev"), offset=10), request(user("ann"), offset=11)):
        (whose,) = events(rig.take(others))
        assert whose == (came if b"ann" in others else profile_id("user_id", "zoe") if is_merged else ANN)


def test_who_is_kept_out_stays_as_they_are_and_comes_in_again_when_it_is_lifted() -> None:
    rig = Rig()
    rig.take(request(user("ann"), anonymous("dev"), partition=1))
    work = rig.take(regulation(ONLY, user("ann")), request(anonymous("dev"), partition=2))
    assert (erased(work), events(work), work.facts.suppressed) == ([], [], 1)
    work = rig.take(regulation(LIFT, anonymous("dev"), "reg_2"), request(user("ann"), partition=1, offset=5))
    assert events(work) == [ANN]
    assert decided(work)[0]["lifted"] == 2
    for partition in range(PARTITIONS):
        told = {key: value for key, value, _ in work.later[TOPICS.identity_assignments, partition]}
        assert all(told[b"\x1e" + identifier_hash(each)] is None for each in (user("ann"), anonymous("dev")))
    # The partition was made to forget, so it is told everything.
    told = {key: value for key, value, _ in work.later[TOPICS.identity_assignments, 1]}
    assert {b"user_id:ann", b"anonymous_id:dev"} <= told.keys()


def test_one_person_under_two_regulations_is_lifted_by_either() -> None:
    rig = Rig()
    rig.take(regulation(ONLY, anonymous("dev"), "reg_0"))  # nobody is known by it yet
    rig.take(request(user("ann"), ("email", "ann@x")))
    rig.take(regulation(LIFT, anonymous("dev"), "reg_2"))
    rig.take(request(user("ann"), anonymous("dev")))
    rig.take(regulation(ONLY, user("ann"), "reg_3"))
    rig.take(regulation(BOTH, anonymous("dev"), "reg_4"))
    work = rig.take(regulation(LIFT, ("email", "ann@x"), "reg_5"))
    assert decided(work)[0]["lifted"] == 3
    assert len(events(rig.take(request(anonymous("dev")), request(user("ann"))))) == 2


@pytest.mark.parametrize("kind", RegulationType)
def test_of_somebody_nobody_knows(kind: RegulationType) -> None:
    rig = Rig()
    work = rig.take(regulation(kind, user("ann")))
    (told,) = decided(work)
    assert (told["profiles"], told["suppressed"]) == ([], 1 if kind.suppresses else 0)
    assert erased(work) == []
    assert bool(events(rig.take(request(user("ann"))))) == (not kind.suppresses)


def test_the_same_request_twice_is_decided_once() -> None:
    rig = Rig()
    rig.take(request(user("ann")))
    rig.take(regulation(DELETE, user("ann")), request(user("ann")))
    work = rig.take(regulation(DELETE, user("ann")))
    assert (decided(work), erased(work)) == ([], [])


def test_a_dropped_batch_is_decided_the_same_again() -> None:
    rig = Rig()
    rig.take(request(user("ann"), anonymous("dev")))
    values = [regulation(BOTH, user("ann")), request(user("ann")), regulation(LIFT, user("ann"), "reg_2")]
    records = [Record(rig.offset + at, None, value, AT_MS) for at, value in enumerate(values)]
    first = rig.stage.process(records)
    rig.overlay.clear()
    rig.stage.reload()
    assert rig.stage.process(records) == first


@pytest.mark.parametrize("step", [1, 3, 1_000])
def test_the_changelog_gives_the_store_back_and_old_records_raise_nobody(step: int) -> None:
    rig = Rig()
    rig.take(*(request(anonymous(str(number)), partition=number % 3) for number in range(6)))
    rig.take(*(request(anonymous(str(number)), anonymous(str(number + 1))) for number in (0, 2, 4)))
    old = list(rig.changelog)
    rig.take(regulation(BOTH, anonymous("0")), request(anonymous("2"), user("ann")))
    rig.take(regulation(ONLY, anonymous("3"), "reg_2"), regulation(DELETE, user("ann"), "reg_3"))
    rig.take(regulation(LIFT, anonymous("0"), "reg_4"), request(anonymous("0")), request(anonymous("5")))
    for changelog in (rig.changelog, [*rig.changelog, *old]):
        restored = SimStore()
        for start in range(0, len(changelog), step):
            part = changelog[start : start + step]
            link_state.apply(restored, part, start + len(part) - 1)
        for store in (rig.store, restored):
            store.data.pop(b"m|log", None)
        assert restored.data == rig.store.data
