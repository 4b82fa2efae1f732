"""The window of seen message ids over a partition's state: one look-up and one changelog record per batch."""

from __future__ import annotations

from collections.abc import Iterable

from app.profiles import seen
from app.profiles.store import StateReader
from app.stages.meta import Meta

TOMBSTONES_MAX = 200
"""How many packed records of a day gone by are deleted from the changelog with each batch."""


class SeenWindow:
    """Which ids have been applied, by the day in which each came."""

    def __init__(self, state: StateReader, meta: Meta) -> None:
        self._state = state
        self._meta = meta
        self._known: set[bytes] = set()
        self._new: dict[int, list[bytes]] = {}
        self._hashes: dict[tuple[bytes, str], bytes] = {}

    def look_up(self, ids: Iterable[tuple[bytes, str, int]]) -> None:
        """Read, for (profile, id, received at ms), all that a batch will ask for."""
        self._known.clear()
        self._new.clear()
        self._hashes.clear()
        asked: dict[int, list[bytes]] = {}
        for profile, id_, at_ms in ids:
            hashed = self._hashes[profile, id_] = seen.seen_hash(profile, id_)
            asked.setdefault(at_ms // seen.DAY_MS, []).append(hashed)
        for day, hashes in asked.items():
            # The day after, too: partitions of the source are not at the same moment.
            for near in (day - 1, day, day + 1):
                if near in self._meta.seen_batches:
                    held = self._state.get_many([seen.seen_key(near, hashed) for hashed in hashes])
                    self._known.update(hashed for hashed, found in zip(hashes, held, strict=True) if found is not None)

    def repeats(self, profile: bytes, id_: str, at_ms: int) -> bool:
        """Whether the id was applied before; it is remembered from now on."""
        hashed = self._hashes[profile, id_]
        if hashed in self._known:
            return True
        self._known.add(hashed)
        self._new.setdefault(at_ms // seen.DAY_MS, []).append(hashed)
        return False

    def settle(
        self, today: int, writes: dict[bytes, bytes | None], changelog: list[tuple[bytes, bytes | None]]
    ) -> None:
        """Put the batch's new ids into its writes, and those of days gone by out of the changelog."""
        meta = self._meta
        for day, hashes in self._new.items():
            number = meta.seen_batches.get(day, 0)
            meta.seen_batches[day] = number + 1
            changelog.append((seen.packed_key(day, number), b"".join(hashes)))
            writes.update((seen.seen_key(day, hashed), b"") for hashed in hashes)
        self._new.clear()
        for gone in [each for each in meta.seen_batches if each < today - seen.DAYS_KEPT]:
            meta.retired.setdefault(gone, 0)
        for gone, number in list(meta.retired.items()):
            until = min(number + TOMBSTONES_MAX, meta.seen_batches[gone])
            changelog.extend((seen.packed_key(gone, each), None) for each in range(number, until))
            if until < meta.seen_batches[gone]:
                meta.retired[gone] = until
            else:
                del meta.retired[gone], meta.seen_batches[gone]
