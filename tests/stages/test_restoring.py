"""Changelog → state: what wins, what is rebuilt, and what is refused."""

from __future__ import annotations

import pytest

from app.errors import StateError, StateErrorReason
from app.profiles import codec, seen
from app.profiles.codec import CorruptProfile
from app.profiles.state import Profile
from app.profiles.store import META, PROFILE, SPLIT, TIMER, timer_key
from app.stages.meta import CATALOG_KEY, Meta
from app.stages.restoring import LogFacts, apply, check, meta_of
from tests.simulation.store import SimStore


def profile(w: int, due_ms: int = 0) -> bytes:
    made = Profile()
    made.w = w
    made.armed_due = due_ms
    return codec.encode(made, 1)


def timers(store: SimStore) -> set[bytes]:
    return {key for key in store.data if key.startswith(TIMER)}


def w_in(store: SimStore, key: bytes) -> int:
    return codec.w_of(store.data[PROFILE + key])


@pytest.mark.parametrize("split", [False, True], ids=["in one stretch", "in two"])
def test_an_older_state_never_replaces_a_newer_one(split: bool) -> None:
    store = SimStore()
    records = [(PROFILE + b"a", profile(9, 900)), (PROFILE + b"a", profile(5, 500)), (PROFILE + b"b", profile(1))]
    for stretch in [records[:1], records[1:]] if split else [records]:
        apply(store, stretch, 7)
    assert (w_in(store, b"a"), w_in(store, b"b")) == (9, 1)
    assert timers(store) == {timer_key(900, b"a")}


def test_of_two_states_with_the_same_offset_the_later_record_wins() -> None:
    store = SimStore()
    apply(store, [(PROFILE + b"a", profile(5, 100)), (PROFILE + b"a", profile(5, 200))], 1)
    apply(store, [(PROFILE + b"a", profile(5, 300))], 2)
    assert timers(store) == {timer_key(300, b"a")}


def test_timer_index_follows_the_profiles() -> None:
    store = SimStore()
    apply(store, [(PROFILE + b"a", profile(1, 100)), (PROFILE + b"b", profile(1, 100))], 1)
    assert timers(store) == {timer_key(100, b"a"), timer_key(100, b"b")}
    apply(store, [(PROFILE + b"a", profile(2, 0)), (PROFILE + b"b", profile(2, 50))], 3)
    assert timers(store) == {timer_key(50, b"b")}


def test_packed_ids_are_expanded() -> None:
    store = SimStore()
    hashes = [seen.seen_hash(b"p", str(number)) for number in range(3)]
    apply(store, [(seen.packed_key(7, 0), b"".join(hashes[:2])), (seen.packed_key(8, 0), hashes[2])], 1)
    assert {key for key in store.data if key.startswith(b"d|")} == {
        seen.seen_key(7, hashes[0]), seen.seen_key(7, hashes[1]), seen.seen_key(8, hashes[2]),
    }  # fmt: skip


def test_meta_and_catalogue_come_back_and_tombstones_are_passed_over() -> None:
    store = SimStore()
    newest = Meta(src_next=9, epoch="ab", clock_ms=5)
    apply(
        store,
        [(CATALOG_KEY, b"old"), (META, newest.encode()), (META, Meta(src_next=3).encode()), (CATALOG_KEY, b"new"),
         (seen.packed_key(1, 0), None), (None, b"nothing of ours")],
        11,
    )  # fmt: skip
    assert meta_of(store) == newest
    assert store.get(CATALOG_KEY) == b"new"
    assert store.log_offset() == 11
    apply(store, [(META, Meta(src_next=8).encode())], 12)
    assert meta_of(store) == newest
    assert store.log_offset() == 12


def test_splits_under_way_come_back_and_those_that_are_over_go() -> None:
    store = SimStore()
    apply(store, [(SPLIT + b"one", b"1"), (SPLIT + b"two", b"2")], 1)
    apply(store, [(SPLIT + b"one", None)], 2)
    assert [*store.keys(SPLIT)] == [SPLIT + b"two"]


def test_a_damaged_record_is_not_written_down() -> None:
    store = SimStore()
    data = bytearray(profile(1))
    data[-1] ^= 1
    with pytest.raises(CorruptProfile):
        apply(store, [(PROFILE + b"a", bytes(data))], 1)
    assert store.data == {}


GOOD = LogFacts(source="profiles.in", epoch="ab", source_end=100, committed=50, changelog_start=0, changelog_end=10)


def facts(**changed: object) -> LogFacts:
    return LogFacts(**{**{name: getattr(GOOD, name) for name in GOOD.__slots__}, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        (Meta(src_next=60, epoch="ab"), GOOD),
        (Meta(src_next=50, epoch="ab"), GOOD),
        (Meta(src_next=100, epoch="ab"), GOOD),
        (None, facts(committed=None)),
        (None, facts(committed=0)),
        (Meta(src_next=60, epoch="ab"), facts(committed=None)),
    ],
)
def test_what_fits_is_let_through(meta: Meta | None, told: LogFacts) -> None:
    check(3, meta, told)


@pytest.mark.parametrize(
    ("meta", "told", "reason"),
    [
        (Meta(src_next=60, epoch="cd"), GOOD, StateErrorReason.SOURCE_RECREATED),
        (Meta(src_next=0, epoch="cd"), facts(source_end=0, committed=None), StateErrorReason.SOURCE_RECREATED),
        (Meta(src_next=101, epoch="ab"), GOOD, StateErrorReason.SOURCE_CUT),
        (Meta(src_next=49, epoch="ab"), GOOD, StateErrorReason.CHANGELOG_LOST),
        (None, GOOD, StateErrorReason.CHANGELOG_LOST),
    ],
)
def test_what_does_not_fit_is_refused(meta: Meta | None, told: LogFacts, reason: StateErrorReason) -> None:
    with pytest.raises(StateError) as refused:
        check(3, meta, told)
    assert refused.value.reason is reason
    assert refused.value.partition == 3
