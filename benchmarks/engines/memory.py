"""A log's record and a store, for stages without a broker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


class Memory:
    """A store that costs nothing, so that what is measured is the stage."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.data.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.data.get(key) for key in keys]

    def keys(self, prefix: bytes, start: bytes = b"") -> Iterator[bytes]:
        return iter(sorted(key for key in self.data if key.startswith(prefix) and key >= start))

    def timers_until(self, due_ms: int, limit: int) -> Iterator[tuple[int, bytes]]:
        return iter(())

    def write(self, writes: Mapping[bytes, bytes | None]) -> None:
        for key, value in writes.items():
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value
