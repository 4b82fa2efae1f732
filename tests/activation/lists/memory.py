"""A table in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping


class MemoryTable:
    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.held.get(key)

    def keys(self, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        found = sorted(key for key in self.held if key.startswith(prefix))
        return found[bisect_right(found, after) :][:limit]

    def close(self) -> None:
        pass

    def write(self, writes: Mapping[bytes, bytes | None], offset: int = 0, at_ms: int = 0) -> None:
        for key, value in writes.items():
            if value is None:
                self.held.pop(key, None)
            else:
                self.held[key] = value
