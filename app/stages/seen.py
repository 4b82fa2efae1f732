"""The window of seen message ids over a partition's state: one look-up and one changelog record per batch."""

from __future__ import annotations

from collections.abc import Iterable

from app.profiles import seen
from app.profiles.store import StateReader
from app.stages.meta import Meta

TOMBSTONES_MAX = 200
"""How many packed records of a day gone by are deleted from the changelog with each batch."""


class SeenWindow:
    """Which ids have been applied, today and yesterday by the log's clock."""

    def __init__(self, state: StateReader, meta: Meta) -> None:
        self._state = state
        self._meta = meta
        self._known: dict[bytes, int] = {}
        self._new: dict[bytes, int] = {}
        self._hashes: dict[tuple[bytes, str], bytes] = {}

    def look_up(self, ids: Iterable[tuple[bytes, str]]) -> None:
        """Read, for (profile, id) pairs, all that a batch will ask for."""
        hashes = self._hashes = {pair: seen.seen_hash(*pair) for pair in ids}
        self._known.clear()
        self._new.clear()
        if not hashes:
            return
        day = self._meta.clock_ms // seen.DAY_MS
        days = [each for each in (day - 1, day, day + 1) if each in self._meta.seen_batches]
        for each in days:
            keys = [seen.seen_key(each, hashed) for hashed in hashes.values()]
            for hashed, held in zip(hashes.values(), self._state.get_many(keys), strict=True):
                if held is not None:
                    self._known.setdefault(hashed, seen.unpack_offset(held))

    def repeats(self, profile: bytes, id_: str, offset: int) -> bool:
        """Whether the id was applied before, at another offset; it is remembered from now on."""
        hashed = self._hashes[profile, id_]
        at = self._known.get(hashed)
        if at is None:
            self._known[hashed] = self._new[hashed] = offset
            return False
        return at != offset

    def settle(self, day: int, writes: dict[bytes, bytes | None], changelog: list[tuple[bytes, bytes | None]]) -> None:
        """Put the batch's new ids into its writes, and those of days gone by out of the changelog."""
        meta = self._meta
        if self._new:
            number = meta.seen_batches.get(day, 0)
            meta.seen_batches[day] = number + 1
            changelog.append((seen.packed_key(day, number), seen.pack(list(self._new.items()))))
            for hashed, offset in self._new.items():
                writes[seen.seen_key(day, hashed)] = seen.pack_offset(offset)
            self._new.clear()
        for gone in [each for each in meta.seen_batches if each < day - 1]:
            meta.retired.setdefault(gone, 0)
        for gone, number in list(meta.retired.items()):
            until = min(number + TOMBSTONES_MAX, meta.seen_batches[gone])
            changelog.extend((seen.packed_key(gone, each), None) for each in range(number, until))
            if until < meta.seen_batches[gone]:
                meta.retired[gone] = until
            else:
                del meta.retired[gone], meta.seen_batches[gone]
