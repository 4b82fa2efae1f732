"""The partition store on disk: what survives, what is refused, and in which order timers come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.errors import StateError, StateErrorReason
from app.profiles.codec import CorruptProfile
from app.profiles.seen import DAY_MS, DAYS_KEPT, seen_hash, seen_key
from app.profiles.store import PROFILE, timer_key
from app.stream.store import PartitionStore, StoreBudget, StoreShare, quarantine

NOW_MS = 1_767_225_600_000


@pytest.fixture
def share() -> StoreShare:
    return StoreShare(StoreBudget(block_cache_bytes=8 << 20, write_buffer_bytes=8 << 20))


@contextmanager
def opened(directory: Path, share: StoreShare, lock_wait_s: float = 0.0) -> Iterator[PartitionStore]:
    store = PartitionStore(directory, 3, share, lambda: NOW_MS, lock_wait_s)
    try:
        yield store
    finally:
        store.abandon()


def timer(due_ms: int, profile: bytes) -> dict[bytes, bytes | None]:
    return {timer_key(due_ms, profile): b""}


def test_a_batch_and_its_offset_survive_a_flush(tmp_path: Path, share: StoreShare) -> None:
    with opened(tmp_path / "s", share) as store:
        assert store.log_offset() == -1
        assert store.flushed_at_ms() == 0
        store.write({PROFILE + b"a": b"1", PROFILE + b"b": b"2"}, 41)
        store.write({PROFILE + b"a": None}, 42)
        assert store.get_many([PROFILE + b"b", PROFILE + b"a", b"x"]) == [b"2", None, None]
        store.flush()
    with opened(tmp_path / "s", share) as store:
        assert dict(store.profiles()) == {b"b": b"2"}
        assert store.log_offset() == 42
        assert store.flushed_at_ms() == NOW_MS


WRITER = """
import os, signal, sys
from pathlib import Path
from app.stream.store import PartitionStore, StoreBudget, StoreShare

store = PartitionStore(Path(sys.argv[1]), 0, StoreShare(StoreBudget(8 << 20, 8 << 20)), lambda: 0)
for number in range(3_000):
    if number == 1_000:
        store.flush()
    # Each batch writes the same number under every key, large enough that memtables go to disk by themselves.
    store.write({b"p|%d" % key: b"%d" % number + bytes(2_000) for key in range(5)}, number)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_crash_loses_whole_batches_from_the_end(tmp_path: Path, share: StoreShare) -> None:
    died = subprocess.run([sys.executable, "-c", WRITER, tmp_path / "s"], cwd=Path.cwd(), check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    with opened(tmp_path / "s", share) as store:
        offset = store.log_offset()
        assert 999 <= offset < 3_000, "what was flushed is there"
        found = {data.rstrip(b"\0") for _, data in store.profiles()}
        assert found == {b"%d" % offset}, "each key is of the batch that the offset names"


def test_timers_come_in_order_of_time_and_no_later_than_asked(tmp_path: Path, share: StoreShare) -> None:
    with opened(tmp_path / "s", share) as store:
        for due_ms, profile in ((500, b"c"), (100, b"b"), (100, b"a"), (1 << 40, b"far")):
            store.write(timer(due_ms, profile), 0)
        store.write({PROFILE + b"p": b"", b"u|behind the timers": b""}, 0)
        assert list(store.timers_until(99, 10)) == []
        assert list(store.timers_until(500, 10)) == [(100, b"a"), (100, b"b"), (500, b"c")]
        assert list(store.timers_until(500, 2)) == [(100, b"a"), (100, b"b")]
        assert list(store.timers_until(1 << 41, 10))[-1] == (1 << 40, b"far")


def test_a_timer_armed_before_the_place_of_the_last_search_is_found(tmp_path: Path, share: StoreShare) -> None:
    with opened(tmp_path / "s", share) as store:
        store.write(timer(100, b"a") | timer(200, b"b"), 0)
        assert list(store.timers_until(150, 10)) == [(100, b"a")]
        store.write({timer_key(100, b"a"): None}, 1)
        assert list(store.timers_until(150, 10)) == []
        assert list(store.timers_until(250, 10)) == [(200, b"b")]
        store.write(timer(50, b"early"), 2)
        assert list(store.timers_until(250, 10)) == [(50, b"early"), (200, b"b")]
        store.write({timer_key(50, b"early"): None, timer_key(200, b"b"): None}, 3)
        assert list(store.timers_until(250, 10)) == []
        store.write(timer(10, b"earlier"), 4)
        assert list(store.timers_until(250, 10)) == [(10, b"earlier")]


def test_timers_are_found_after_everything_was_forgotten(tmp_path: Path, share: StoreShare) -> None:
    with opened(tmp_path / "s", share) as store:
        store.write(timer(100, b"a"), 7)
        assert list(store.timers_until(100, 1)) == [(100, b"a")]
        store.clear()
        assert store.log_offset() == -1
        assert list(store.timers_until(100, 1)) == []
        store.write(timer(90, b"b"), 0)
        assert list(store.timers_until(100, 1)) == [(90, b"b")]


def test_damage_among_the_timers_is_no_end_of_them(tmp_path: Path, share: StoreShare) -> None:
    # Names so long that the index has many blocks: only one in the middle is damaged.
    timers = [(1_000 + number, b"%05d" % number + os.urandom(200)) for number in range(2_000)]
    with opened(tmp_path / "s", share) as store:
        store.write({timer_key(*each): b"" for each in timers}, 1)
        store.flush()
        assert list(store.timers_until(1 << 40, 1 << 40)) == timers
    (file,) = [each for each in (tmp_path / "s").glob("*.sst") if each.stat().st_size > 100_000]
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(byte ^ 0xFF for byte in data[middle : middle + 40])
    file.write_bytes(data)
    with opened(tmp_path / "s", StoreShare(StoreBudget(8 << 20, 8 << 20))) as store:
        assert list(store.timers_until(1_100, 1 << 40)) == timers[:101], "what can be read is read"
        with pytest.raises(CorruptProfile, match="checksum"):
            list(store.timers_until(1 << 40, 1 << 40))


def test_ids_of_days_out_of_the_window_go(tmp_path: Path, share: StoreShare) -> None:
    hashed = seen_hash(b"p", "m:1")
    days = list(range(100, 100 + DAYS_KEPT + 3))
    with opened(tmp_path / "s", share) as store:
        store.write({seen_key(day, hashed): b"" for day in days} | {PROFILE + b"a": b"1"} | timer(5, b"a"), 0)
        today = days[-1]
        store.drop_seen_before(today * DAY_MS + 5)
        left = [day for day in days if store.get(seen_key(day, hashed)) is not None]
        assert left == [day for day in days if day >= today - DAYS_KEPT]
        assert store.get(PROFILE + b"a") == b"1"
        assert list(store.timers_until(5, 5)) == [(5, b"a")]
        store.drop_seen_before(0)


HOLDER = """
import sys
from pathlib import Path
from app.stream.store import PartitionStore, StoreBudget, StoreShare

store = PartitionStore(Path(sys.argv[1]), 0, StoreShare(StoreBudget(8 << 20, 8 << 20)), lambda: 0)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            yield holder
        finally:
            holder.kill()


def test_a_directory_that_another_process_holds_is_refused_after_a_while(tmp_path: Path, share: StoreShare) -> None:
    with held_by_another(tmp_path / "s"):
        started_s = time.monotonic()
        with pytest.raises(StateError, match="held by another process") as refused, opened(tmp_path / "s", share, 0.3):
            pass
        assert time.monotonic() - started_s >= 0.3
    assert refused.value.reason is StateErrorReason.DIRECTORY_LOCKED
    assert refused.value.partition == 3


def test_a_holder_that_goes_in_time_is_waited_for(tmp_path: Path, share: StoreShare) -> None:
    with held_by_another(tmp_path / "s") as holder:
        os.kill(holder.pid, signal.SIGKILL)
        with opened(tmp_path / "s", share, 30.0) as store:
            assert store.log_offset() == -1


@pytest.mark.parametrize("damage", [b"", b"MANIFEST-999999\n", b"\x00garbage"])
def test_a_damaged_store_is_told_from_a_locked_one_and_put_aside(
    tmp_path: Path, share: StoreShare, damage: bytes
) -> None:
    directory = tmp_path / "s"
    with opened(directory, share) as store:
        store.write({PROFILE + b"a": b"1"}, 1)
        store.flush()
    (directory / "CURRENT").write_bytes(damage)
    with pytest.raises(StateError) as refused, opened(directory, share, 5.0):
        pass
    assert refused.value.reason is StateErrorReason.CORRUPT
    kept = quarantine(directory, NOW_MS)
    assert kept.name == f"s.corrupt-{NOW_MS}"
    assert (kept / "CURRENT").read_bytes() == damage
    with opened(directory, share) as store:
        assert store.log_offset() == -1


def test_partitions_share_one_block_cache(tmp_path: Path, share: StoreShare) -> None:
    stores = [PartitionStore(tmp_path / str(p), p, share, lambda: NOW_MS) for p in range(2)]
    try:
        used: list[int] = []
        for store in stores:
            store.write({PROFILE + b"%d" % key: os.urandom(1_000) for key in range(500)}, 1)
            store.flush()
            assert len(list(store.profiles())) == 500
            used.append(share.cache.get_usage())
        assert used[1] > used[0] > 400_000
        assert used[1] <= share.budget.block_cache_bytes
    finally:
        for store in stores:
            store.close()


def test_a_damaged_block_is_damage_and_no_lock(tmp_path: Path, share: StoreShare) -> None:
    """RocksDB tells of it by "block checksum mismatch", which has the word lock in it."""
    with opened(tmp_path / "s", share) as store:
        store.write({PROFILE + b"a": b"x" * 5_000}, 1)
        store.flush()
    for file in (tmp_path / "s").glob("*.sst"):
        data = bytearray(file.read_bytes())
        data[:40] = bytes(byte ^ 0xFF for byte in data[:40])
        file.write_bytes(data)
    with opened(tmp_path / "s", share) as store, pytest.raises(CorruptProfile, match="checksum"):
        store.get(PROFILE + b"a")


def test_what_is_scrubbed_is_on_the_disk_no_more(tmp_path: Path, share: StoreShare) -> None:
    secret = os.urandom(32).hex().encode()
    directory = tmp_path / "p"

    def on_disk() -> bool:
        return any(secret in file.read_bytes() for file in directory.rglob("*.sst"))

    store = PartitionStore(directory, 3, share, lambda: NOW_MS)
    store.write({PROFILE + b"ann": secret, PROFILE + b"bob": b"stays"}, 0)
    store.flush()
    assert on_disk()
    store.write({PROFILE + b"ann": None}, 1)
    store.flush()
    assert on_disk(), "a deletion only hides what it deletes"
    store.scrub([PROFILE + b"ann"])
    store.close()
    assert not on_disk()
    with opened(directory, share) as store:
        assert (store.get(PROFILE + b"ann"), store.get(PROFILE + b"bob")) == (None, b"stays")
