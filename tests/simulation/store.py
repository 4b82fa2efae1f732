"""A partition store of dicts, which can fall back to its last flush as one without a write-ahead log does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from app.profiles.store import PROFILE, TIMER, due_of
from app.stages.meta import LOG_KEY


class SimStore:
    """What `app.stream.store.PartitionStore` promises, in memory."""

    def __init__(self) -> None:
        self.flushed: dict[bytes, bytes] = {}
        self.unflushed: list[Mapping[bytes, bytes | None]] = []
        self.data: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.data.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.data.get(key) for key in keys]

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        batch = {**writes, LOG_KEY: log_offset.to_bytes(8, "big", signed=True)}
        self.unflushed.append(batch)
        _apply(self.data, batch)

    def log_offset(self) -> int:
        held = self.data.get(LOG_KEY)
        return int.from_bytes(held, "big", signed=True) if held is not None else -1

    def keys(self, prefix: bytes, start: bytes = b"") -> Iterator[bytes]:
        return iter(sorted(key for key in self.data if key.startswith(prefix) and key >= start))

    def timers_until(self, due_ms: int, limit: int) -> Iterator[tuple[int, bytes]]:
        timers = sorted(key for key in self.data if key.startswith(TIMER))
        for key in timers[:limit]:
            due, profile = due_of(key)
            if due <= due_ms:
                yield due, profile

    def profiles(self) -> Iterator[tuple[bytes, bytes]]:
        for key, value in sorted(self.data.items()):
            if key.startswith(PROFILE):
                yield key[len(PROFILE) :], value

    def flush(self) -> None:
        self.flushed = dict(self.data)
        self.unflushed.clear()

    def crash(self, random: Random) -> None:
        """What was not flushed is lost from some batch on: atomic batches survive in order, or not at all."""
        # Half of the time everything had just been flushed in the background.
        kept = self.unflushed[: random.choice((random.randint(0, len(self.unflushed)), None))]
        for batch in kept:
            _apply(self.flushed, batch)
        self.data = dict(self.flushed)
        self.unflushed.clear()


def _apply(data: dict[bytes, bytes], batch: Mapping[bytes, bytes | None]) -> None:
    for key, value in batch.items():
        if value is None:
            data.pop(key, None)
        else:
            data[key] = value
