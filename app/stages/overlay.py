"""A partition's state as the next batch must see it: the store, and before it what is on its way there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import merge

from app.profiles.store import StateReader


class Overlay:
    """The store behind batches that are computed but not yet written down. Newest first."""

    def __init__(self, store: StateReader) -> None:
        self._store = store
        self._pending: deque[dict[bytes, bytes | None]] = deque()

    def push(self, writes: dict[bytes, bytes | None]) -> None:
        """A batch has been computed: the next one sees its writes."""
        self._pending.append(writes)

    def pop(self) -> None:
        """The oldest batch has been written down."""
        self._pending.popleft()

    def clear(self) -> None:
        """Nothing that is on its way will arrive."""
        self._pending.clear()

    def get(self, key: bytes) -> bytes | None:
        for writes in reversed(self._pending):
            if key in writes:
                return writes[key]
        return self._store.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        if not self._pending:
            return self._store.get_many(keys)
        found: dict[bytes, bytes | None] = {}
        for writes in self._pending:
            found.update((key, writes[key]) for key in keys if key in writes)
        missing = [key for key in keys if key not in found]
        found.update(zip(missing, self._store.get_many(missing), strict=True))
        return [found[key] for key in keys]

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        newest: dict[bytes, bool] = {}
        for writes in self._pending:
            found = ((key, value) for key, value in writes.items() if key.startswith(prefix) and key > after)
            newest.update((key, value is not None) for key, value in found)
        held = (key for key in self._store.keys(prefix, after) if key not in newest)
        return merge(held, sorted(key for key, there in newest.items() if there))

    def timers_until(self, due_ms: int, limit: int) -> Iterator[tuple[int, bytes]]:
        """Of the store alone: firing a timer whose batch is on its way changes nothing."""
        return self._store.timers_until(due_ms, limit)
