"""One table: a RocksDB without a write-ahead log, since a changelog is the truth and fills up what a crash takes away.

All of a step is one atomic write with the changelog offset in it, so whatever survives is a whole prefix of the steps.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from struct import Struct

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteOptions

from app.errors import StateError, StateErrorReason

LOCK_WAIT_S = 10.0
"""How long opening waits for a directory that another process, perhaps just ending, still holds."""
BLOCK_CACHE_BYTES = 32 << 20
WRITE_BUFFER_BYTES = 32 << 20
_OFFSET = b"\x00offset"
_SOURCE = b"\x00log"
_LAST = b"\xff"
_STANDS_FOR = Struct(">qq")


class TableStore:
    """See the module. Keys must begin with neither 0x00 nor 0xff.

    Raises:
        StateError: DIRECTORY_LOCKED when another process holds it; CORRUPT when it cannot be read: `quarantine` then
            takes it away, and a new one is filled from the changelog.
    """

    def __init__(self, directory: Path, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self.directory = directory
        self._no_wal = WriteOptions()
        self._no_wal.disable_wal = True
        self._db = self._open(lock_wait_s)

    def _open(self, lock_wait_s: float) -> Rdict:
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        options = _options()
        deadline_s = time.monotonic() + lock_wait_s
        while True:
            try:
                return Rdict(str(self.directory), options=options)
            except Exception as error:
                text = str(error)
                if not ("lock file" in text or "lock hold by" in text):
                    raise StateError(0, StateErrorReason.CORRUPT, f"{self.directory}: {text}") from error
                if time.monotonic() >= deadline_s:
                    message = f"{self.directory} is held by another process; stop it, or use another data directory"
                    raise StateError(0, StateErrorReason.DIRECTORY_LOCKED, message) from error
            time.sleep(0.1)

    def get(self, key: bytes) -> bytes | None:
        return self._db.get(key)  # type: ignore[no-any-return]

    def keys(self, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """Keys that begin so and are greater than `after`, in order."""
        found: list[bytes] = []
        entries = self._db.iter()
        entries.seek(max(prefix, after))
        while entries.valid() and len(found) < limit:
            key: bytes = entries.key()
            if not key.startswith(prefix):
                return found
            if key > after:
                found.append(key)
            entries.next()
        entries.status()  # what cannot be read would look like the end
        return found

    def write(self, writes: Mapping[bytes, bytes | None], offset: int, at_ms: int) -> None:
        """One atomic write, with the changelog offset that it stands for, and when it was made."""
        batch = WriteBatch(raw_mode=True)
        for key in sorted(writes):
            value = writes[key]
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(_OFFSET, _STANDS_FOR.pack(offset, at_ms))
        self._db.write(batch, self._no_wal)

    def stands_for(self) -> tuple[int, int]:
        """The changelog offset up to which everything is in here, and when that was written; -1 for nothing."""
        held = self.get(_OFFSET)
        if held is None:
            return -1, 0
        offset, at_ms = _STANDS_FOR.unpack(held)
        return offset, at_ms

    def log(self) -> str:
        """Which changelog it stands for; empty for none."""
        return (self.get(_SOURCE) or b"").decode()

    def start(self, log: str) -> None:
        """Forget everything, to be filled from another changelog or from its start."""
        self._db.delete_range(b"", _LAST, self._no_wal)
        self._db.put(_SOURCE, log.encode(), self._no_wal)

    def close(self) -> None:
        """Write what is in memory to disk, and let go of the directory."""
        self._db.flush()
        self._db.close()


def _options() -> Options:
    # As the stream's stores: with RocksDB's own defaults, a table of 100,000 members took 4 ms a look-up after a while.
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(BLOCK_CACHE_BYTES))
    blocks.set_bloom_filter(10, False)
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(3)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    return options


def quarantine(directory: Path, now_ms: int) -> Path:
    """Move a damaged table out of the way; it is kept, for whoever wants to know why."""
    target = directory.with_name(f"{directory.name}.corrupt-{now_ms}")
    shutil.move(directory, target)
    return target
