"""The partition store: one RocksDB per partition of `profiles.in`, and the memory that all of them share.

The write-ahead log is off: the changelog is the truth, and what a crash takes out of memory is read back from it. All
of a batch is one atomic write with the changelog offset in it, so whatever survives is a whole prefix of the batches.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    Options,
    Rdict,
    RdictIter,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)  # fmt: skip

from app.errors import StateError, StateErrorReason
from app.profiles.codec import CorruptProfile
from app.profiles.seen import DAY_MS, DAYS_KEPT
from app.profiles.store import META, PROFILE, SEEN, TIMER, due_of
from app.stages.meta import LOG_KEY

LOCK_WAIT_S = 10.0
"""How long opening waits for a directory that another process, perhaps just ending, still holds."""

PREFIX_REST_BYTES = 32
"""More than any key goes on behind what is scrubbed by its beginning."""
RANGES_MAX = 16
"""Ranges that are compacted one by one; of more, all that lies between the first and the last."""

_DAMAGED = "Corruption"
_TIMER_BYTE = TIMER[0]
_FLUSHED_KEY = META + b"flushed"


@dataclass(frozen=True, slots=True)
class StoreBudget:
    """Memory of all partitions of a process together."""

    block_cache_bytes: int = 128 << 20
    write_buffer_bytes: int = 128 << 20
    """Of all memtables; beyond it the fullest is flushed."""
    files_max: int = 256
    """Open files per partition."""


class StoreShare:
    """The cache and write buffer that a process's partitions share."""

    def __init__(self, budget: StoreBudget) -> None:
        self.budget = budget
        self.cache = Cache(budget.block_cache_bytes)
        self.buffers = WriteBufferManager(budget.write_buffer_bytes, False)

    def options(self) -> Options:
        """Options of one partition's database."""
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self.cache)
        blocks.set_bloom_filter(10, False)
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self.buffers)
        options.set_write_buffer_size(64 << 20)
        options.set_max_write_buffer_number(3)
        # Seen ids are mostly looked up in vain: without it every look-up walks the memtable.
        options.set_memtable_prefix_bloom_ratio(0.1)
        options.set_memtable_whole_key_filtering(True)
        options.set_max_open_files(self.budget.files_max)
        options.set_max_background_jobs(2)
        options.set_keep_log_file_num(2)
        return options


class PartitionStore:
    """One partition's state on disk.

    Raises:
        CorruptProfile: by what reads and by `write`, when RocksDB finds its files damaged.
        StateError: DIRECTORY_LOCKED when another process holds it; CORRUPT when it cannot be read. `quarantine` then
            takes it away, and a new one is restored from the changelog.
    """

    def __init__(
        self,
        directory: Path,
        partition: int,
        share: StoreShare,
        now_ms: Callable[[], int],
        lock_wait_s: float = LOCK_WAIT_S,
    ) -> None:
        self._now_ms = now_ms
        self.directory = directory
        self.partition = partition
        self._no_wal = WriteOptions()
        self._no_wal.disable_wal = True
        self._db = self._open(share, lock_wait_s)
        self._timers_from = TIMER
        self._scrubbing: threading.Thread | None = None

    def _open(self, share: StoreShare, lock_wait_s: float) -> Rdict:
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + lock_wait_s
        while True:
            try:
                return Rdict(str(self.directory), options=share.options())
            except Exception as error:
                text = str(error)
                if not _is_held(text):
                    raise StateError(self.partition, StateErrorReason.CORRUPT, f"{self.directory}: {text}") from error
                if time.monotonic() >= deadline:
                    raise StateError(
                        self.partition,
                        StateErrorReason.DIRECTORY_LOCKED,
                        f"{self.directory} is held by another process; stop it, or use another data directory",
                    ) from error
            time.sleep(0.1)

    def get(self, key: bytes) -> bytes | None:
        try:
            return self._db.get(key)  # type: ignore[no-any-return]
        except Exception as error:
            self._raise_for(error)
            raise

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        try:
            return self._db.get(keys) if keys else []
        except Exception as error:
            self._raise_for(error)
            raise

    def _raise_for(self, error: Exception) -> None:
        """RocksDB has exceptions of one kind only; its words tell damage from the rest."""
        text = str(error)
        if text.startswith(_DAMAGED):
            raise CorruptProfile(f"{self.directory}: {text}") from error

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        """One atomic write, with the changelog offset that it stands for."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        # Sorted, a batch goes into memory in one sweep: 3.0 -> 1.7 µs a key, with the look-ups of seen ids.
        for key in sorted(writes):
            value = writes[key]
            if value is None:
                delete(key)
            else:
                put(key, value)
                if key[0] == _TIMER_BYTE and key < self._timers_from and key.startswith(TIMER):
                    self._timers_from = key
        put(LOG_KEY, log_offset.to_bytes(8, "big", signed=True))
        try:
            self._db.write(batch, self._no_wal)
        except Exception as error:
            self._raise_for(error)
            raise

    def log_offset(self) -> int:
        """The changelog offset up to which everything is in here; -1 for nothing."""
        held = self.get(LOG_KEY)
        return int.from_bytes(held, "big", signed=True) if held is not None else -1

    def timers_until(self, due_ms: int, limit: int) -> Iterator[tuple[int, bytes]]:
        """(due, profile) of timers due by then, earliest first, at most `limit`.

        The search starts where the last one found the first entry: what is before that is deleted keys to walk over.
        """
        first = True
        for count, entry in enumerate(self._from(self._timers_from)):
            key: bytes = entry.key()
            if count >= limit or not key.startswith(TIMER):
                return
            due, profile = due_of(key)
            if first:
                self._timers_from, first = key, False
            if due > due_ms:
                return
            yield due, profile

    def keys(self, prefix: bytes, start: bytes = b"") -> Iterator[bytes]:
        """The keys that begin so, in order, from one of them on."""
        for entry in self._from(max(prefix, start)):
            key: bytes = entry.key()
            if not key.startswith(prefix):
                return
            yield key

    def drop_seen_before(self, clock_ms: int) -> None:
        """Delete the ids of days that are out of the window by the log's clock."""
        day = clock_ms // DAY_MS - DAYS_KEPT
        if day > 0:
            self._db.delete_range(SEEN, SEEN + day.to_bytes(4, "big"), self._no_wal)

    def profiles(self, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every (profile, bytes) from a profile on, in the order of their ids."""
        for entry in self._from(PROFILE + start):
            key: bytes = entry.key()
            if not key.startswith(PROFILE):
                return
            yield key[len(PROFILE) :], entry.value()

    def _from(self, key: bytes) -> Iterator[RdictIter]:
        """The entries from a key on, in order: the same object, moved on."""
        entries = self._db.iter()
        entries.seek(key)
        while entries.valid():
            yield entries
            entries.next()
        try:
            entries.status()
        except Exception as error:
            # What cannot be read looks like the end: whoever is behind it would be forgotten.
            self._raise_for(error)
            raise

    def flush(self) -> None:
        """Write what is in memory to disk; blocks."""
        self._db.put(_FLUSHED_KEY, self._now_ms().to_bytes(8, "big"), self._no_wal)
        self._db.flush()

    def flushed_at_ms(self) -> int:
        """When it was last flushed; 0 for never."""
        held = self.get(_FLUSHED_KEY)
        return int.from_bytes(held, "big") if held is not None else 0

    def scrub(self, prefixes: Sequence[bytes]) -> None:
        """Let what was deleted under keys that begin so go from the disk too, in the background.

        A deletion only hides what it deletes, until the files that have either are compacted: perhaps never, where
        nothing else happens to their keys.
        """
        assert not self.is_scrubbing, "one after the other"
        ordered = sorted(prefixes)
        ranges = [(each, each) for each in ordered] if len(ordered) <= RANGES_MAX else [(ordered[0], ordered[-1])]
        self._scrubbing = threading.Thread(target=self._scrub, args=(ranges,), name=f"scrub {self.directory.name}")
        self._scrubbing.start()

    @property
    def is_scrubbing(self) -> bool:
        """Whether the last scrubbing goes on."""
        return self._scrubbing is not None and self._scrubbing.is_alive()

    def _scrub(self, ranges: Sequence[tuple[bytes, bytes]]) -> None:
        self.flush()
        how = CompactOptions()
        how.set_bottommost_level_compaction(BottommostLevelCompaction.force())
        for first, last in ranges:
            self._db.compact_range(first, last + b"\xff" * PREFIX_REST_BYTES, how)

    def _await_scrubbing(self) -> None:
        if self._scrubbing is not None:
            self._scrubbing.join()
            self._scrubbing = None

    def size_bytes(self) -> int:
        """Of its files on disk; what is in memory only is not in it."""
        return self._db.property_int_value("rocksdb.total-sst-files-size") or 0

    def clear(self) -> None:
        """Forget everything, to be filled from the start."""
        self._db.delete_range(b"", b"\xff", self._no_wal)

    def close(self) -> None:
        """Flush and let go of the directory."""
        self._await_scrubbing()
        self.flush()
        self._db.close()

    def abandon(self) -> None:
        """Let go of the directory without caring for what is in memory."""
        self._await_scrubbing()
        self._db.close()


def _is_held(text: str) -> bool:
    """Whether RocksDB could not open because of another process; a damaged "block" is no lock."""
    return not text.startswith(_DAMAGED) and ("lock file" in text or "lock hold by" in text)


def quarantine(directory: Path, now_ms: int) -> Path:
    """Move a damaged store out of the way; it is kept, for whoever wants to know why."""
    target = directory.with_name(f"{directory.name}.corrupt-{now_ms}")
    shutil.move(directory, target)
    return target
