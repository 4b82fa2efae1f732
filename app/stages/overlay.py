"""A partition's state as the next batch must see it: the store, and before it what is on its way there."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge

from app.profiles.store import StateReader


class _Pushed:
    """The writes of a batch."""

    __slots__ = ("_ordered", "writes")

    def __init__(self, writes: Mapping[bytes, bytes | None]) -> None:
        self.writes = writes
        self._ordered: list[bytes] | None = None

    def keys(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        if self._ordered is None:
            self._ordered = sorted(self.writes)
        for at in range(bisect_left(self._ordered, max(prefix, start)), len(self._ordered)):
            if not self._ordered[at].startswith(prefix):
                return
            yield self._ordered[at]


class Overlay:
    """The store behind batches that are computed but not yet written down. Newest first."""

    def __init__(self, store: StateReader) -> None:
        self._store = store
        self._pending: deque[_Pushed] = deque()

    def push(self, writes: dict[bytes, bytes | None]) -> None:
        """A batch has been computed: the next one sees its writes."""
        self._pending.append(_Pushed(writes))

    def pop(self) -> None:
        """The oldest batch has been written down."""
        self._pending.popleft()

    def clear(self) -> None:
        """Nothing that is on its way will arrive."""
        self._pending.clear()

    def get(self, key: bytes) -> bytes | None:
        for pushed in reversed(self._pending):
            if key in pushed.writes:
                return pushed.writes[key]
        return self._store.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        if not self._pending:
            return self._store.get_many(keys)
        found: dict[bytes, bytes | None] = {}
        for pushed in self._pending:
            found.update((key, pushed.writes[key]) for key in keys if key in pushed.writes)
        missing = [key for key in keys if key not in found]
        found.update(zip(missing, self._store.get_many(missing), strict=True))
        return [found[key] for key in keys]

    def keys(self, prefix: bytes, start: bytes = b"") -> Iterator[bytes]:
        newest: dict[bytes, bool] = {}
        for pushed in self._pending:
            newest.update((key, pushed.writes[key] is not None) for key in pushed.keys(prefix, start))
        held = (key for key in self._store.keys(prefix, start) if key not in newest)
        return merge(held, sorted(key for key, there in newest.items() if there))

    def timers_until(self, due_ms: int, limit: int) -> Iterator[tuple[int, bytes]]:
        """Of the store alone: firing a timer whose batch is on its way changes nothing."""
        return self._store.timers_until(due_ms, limit)
