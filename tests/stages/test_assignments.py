"""What a partition knows of identity: the fold of its topic, whatever is in memory of it."""

from __future__ import annotations

import pytest

from app.identity.regulations import identifier_hash
from app.identity.rules import Identifier
from app.ids import profile_id
from app.stages import assignments
from app.stages.assignments import Assignments, of_profile
from app.stages.overlay import Overlay
from app.stages.records import OutRecord, Work
from app.topics import partition_of
from tests.simulation.log import Record
from tests.simulation.store import SimStore

VERSION = "0a1b2c3d"
ANN, BOB = profile_id("user_id", "ann"), profile_id("user_id", "bob")
A: Identifier = ("anonymous_id", "a:b:c")
E: Identifier = ("email", "é")


def take(known: Assignments, *records: OutRecord) -> Work:
    return known.process([Record(7 + at, key, value, 0) for at, (key, value, _) in enumerate(records)])


def test_the_store_gets_the_last_value_of_each_key_and_the_offset_that_it_stands_for() -> None:
    overlay = Overlay(SimStore())
    work = take(Assignments(overlay, VERSION, 4), of_profile(ANN)(A), of_profile(BOB)(A), assignments.answered(3))
    assert work.writes.keys() == {b"anonymous_id:a:b:c", b"\0answered"}
    assert (work.src_next, work.changelog, work.outputs) == (10, [], {})


def test_what_is_in_the_store_is_known_again() -> None:
    store = SimStore()
    usable = (E, A)
    by_ours = assignments.verdict(usable, VERSION, ANN, [A])
    by_others = assignments.verdict(usable, "f" * 8, BOB, [E])
    known = Assignments(Overlay(store), VERSION, 4)
    work = take(known, of_profile(ANN)(A), assignments.answered(3), by_ours, by_others)
    store.write(work.writes, 9)
    known = Assignments(Overlay(store), VERSION, 4)
    assert (known.answered, known.front, known.verdicts) == (3, {}, {})
    known.load([A, E, A])
    key, _ = known.load_verdicts([usable, (A,)])
    owner = ANN.encode(), partition_of(ANN.encode(), 4)
    assert known.front == {A: owner}
    assert known.verdicts == {key: (owner, [1])}


def test_what_is_on_its_way_to_the_store_is_known() -> None:
    store = SimStore()
    overlay = Overlay(store)
    known = Assignments(overlay, VERSION, 4)
    take(known, of_profile(ANN)(A))
    known.reload()
    known.load([A])
    assert known.front[A][0] == ANN.encode()
    assert store.data == {}


def test_what_is_held_in_memory_is_limited_and_a_batch_keeps_what_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignments, "FRONT_MAX", 4)
    store = SimStore()
    identifiers: list[Identifier] = [("user_id", str(number)) for number in range(9)]
    records = [of_profile(ANN)(each) for each in identifiers]
    known = Assignments(Overlay(store), VERSION, 4)
    store.write(take(known, *records).writes, 0)
    known = Assignments(Overlay(store), VERSION, 4)
    known.load(identifiers[:3])
    known.load(identifiers[2:6])
    assert known.front.keys() >= set(identifiers[2:6])
    known.load(identifiers)
    assert known.front.keys() == set(identifiers)
    known.load(identifiers[:1])
    assert len(known.front) <= 5


def test_an_identifier_that_is_forgotten_is_nobodys_in_memory_and_in_the_store() -> None:
    store = SimStore()
    overlay = Overlay(store)
    known = Assignments(overlay, VERSION, 4)
    store.write(take(known, of_profile(ANN)(A), of_profile(ANN)(E)).writes, 8)
    overlay.pop()
    work = take(known, assignments.forgotten(A))
    assert known.front.keys() == {E}
    assert (work.writes, work.facts.forgotten) == ({b"anonymous_id:a:b:c": None}, [b"anonymous_id:a:b:c"])
    store.write(work.writes, 9)
    known.reload()
    known.load([A, E])
    assert known.front.keys() == {E}


def test_a_restore_forgets_too_and_knows_who_is_suppressed() -> None:
    store = SimStore()
    hashed = identifier_hash(A)
    records = [of_profile(ANN)(A), assignments.forgotten(A), assignments.suppressed(hashed)]
    assignments.apply(store, [(key, value) for key, value, _ in records], 3)
    known = Assignments(Overlay(store), VERSION, 4)
    known.load([A, E])
    assert known.front == {}
    assert known.suppressed([A, E]) == {A}
    assert b"a:b:c" not in b"".join(store.data)
    take(known, assignments.lifted(hashed))
    assert known.suppressed([A, E]) == frozenset()


def test_a_verdict_of_an_erased_profile_is_void() -> None:
    for ours in (True, False):
        known = Assignments(Overlay(SimStore()), VERSION, 4)
        usable = (E, A)
        take(known, assignments.verdict(usable, VERSION, ANN, [A]))
        take(known, assignments.erased(ANN if ours else BOB))
        (key,) = known.load_verdicts([usable])
        assert (key in known.verdicts) == (not ours)


def test_who_was_ever_taken_out_is_known_for_as_long_as_it_is_somebody_s() -> None:
    store = SimStore()
    known = Assignments(Overlay(store), VERSION, 4)
    store.write(take(known, *map(of_profile(ANN, [A]), (A, E))).writes, 8)
    assert known.apart == {A}
    known = Assignments(Overlay(store), VERSION, 4)
    known.load([A, E])
    assert known.apart == {A}
    take(known, assignments.forgotten(A))
    assert known.apart == set()
