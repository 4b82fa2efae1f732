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

    def look_up(self, ids: Iterable[tuple[bytes, str, int]]) -> list[bytes]:
        """Read, for (profile, id, received at ms), all that a batch will ask for; gives what to ask `repeats` with."""
        self._known.clear()
        self._new.clear()
        hashes: list[bytes] = []
        asked: dict[int, list[bytes]] = {}
        for profile, id_, at_ms in ids:
            hashed = seen.seen_hash(profile, id_)
            hashes.append(hashed)
            asked.setdefault(at_ms // seen.DAY_MS, []).append(hashed)
        for day, on_day in asked.items():
            # The day after, too: partitions of the source are not at the same moment.
            for near in (day - 1, day, day + 1):
                if near in self._meta.seen_batches:
                    prefix = seen.day_prefix(near)
                    held = self._state.get_many([prefix + hashed for hashed in on_day])
                    self._known.update(hashed for hashed, found in zip(on_day, held, strict=True) if found is not None)
        return hashes

    def repeats(self, hashed: bytes, at_ms: int) -> bool:
        """Whether the id was applied before; it is remembered from now on."""
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
            prefix = seen.day_prefix(day)
            writes.update((prefix + hashed, b"") for hashed in hashes)
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
