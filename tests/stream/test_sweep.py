"""Which profiles a change of definitions still has to reach, over a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import PROFILE
from app.stream import sweep
from app.stream.store import PartitionStore, StoreBudget, StoreShare
from app.stream.sweep import Sweep

OLD, NEW = 7, 8


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    store = PartitionStore(tmp_path / "s", 0, StoreShare(StoreBudget(8 << 20, 8 << 20)), lambda: 0)
    yield store
    store.abandon()


def put(store: PartitionStore, plan: int, *keys: bytes) -> None:
    profile = Profile()
    profile.plan = plan
    store.write({PROFILE + key: codec.encode(profile, 1) for key in keys}, 0)


def test_each_profile_of_another_plan_is_found_once(store: PartitionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "SLICE_PROFILES", 4)
    keys = [b"prf_%02d" % number for number in range(10)]
    put(store, OLD, *keys)
    put(store, NEW, keys[3], keys[9])
    swept = Sweep()
    slices = [swept.stale(store, NEW, read_next=5, done_next=5) for _ in range(5)]
    assert slices == [[keys[0], keys[1], keys[2]], [keys[4], keys[5], keys[6], keys[7]], [keys[8]], [], []]
    assert swept.stale(store, OLD, read_next=5, done_next=5) == [keys[3]], "another change, another way through"


def test_what_the_old_plan_computed_is_waited_for(store: PartitionStore) -> None:
    swept = Sweep()
    assert swept.stale(store, NEW, read_next=9, done_next=4) == []
    put(store, OLD, b"late")
    assert swept.stale(store, NEW, read_next=12, done_next=8) == []
    assert swept.stale(store, NEW, read_next=12, done_next=9) == [b"late"]


def test_live_work_comes_first(store: PartitionStore) -> None:
    put(store, OLD, b"one")
    swept = Sweep()
    assert swept.stale(store, NEW, read_next=0, done_next=0) == [b"one"]
    behind = sweep.BACKLOG_RECORDS_MAX + 1
    swept = Sweep()
    swept.stale(store, OLD, read_next=0, done_next=0)
    assert swept.stale(store, NEW, read_next=behind, done_next=0) == []
    assert swept.stale(store, NEW, read_next=2 * behind, done_next=behind) == [], "still too far behind"
    assert swept.stale(store, NEW, read_next=2 * behind, done_next=2 * behind) == [b"one"]


def test_whoever_was_erased_has_nothing_to_be_evaluated(store: PartitionStore) -> None:
    put(store, OLD, b"prf_ann")
    erased = Profile()
    erased.erased = True
    store.write({PROFILE + b"prf_bob": codec.encode(erased, 1)}, 0)
    assert Sweep().stale(store, NEW, read_next=0, done_next=0) == [b"prf_ann"]
