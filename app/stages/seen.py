"""The window of seen message ids over a partition's state: one look-up and one changelog record per batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

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
        self._new: dict[int, list[bytes]] = {}

    def take(self, ids: Iterable[tuple[bytes, str, int]]) -> list[bool]:
        """Which of a batch's (profile, id, received at ms) are repeats; all of them are remembered from now on."""
        seen_hash, day_ms = seen.seen_hash, seen.DAY_MS
        order = [(seen_hash(profile, id_), at_ms // day_ms) for profile, id_, at_ms in ids]
        days: dict[int, list[bytes]] = {day: [] for day in {day for _, day in order}}
        for hashed, day in order:
            days[day].append(hashed)
        known = self._known(days)
        self._new = days
        if not known and len({hashed for hashed, _ in order}) == len(order):
            return [False] * len(order)  # as almost always
        self._new = {day: [] for day in days}
        repeats: list[bool] = []
        for hashed, day in order:
            repeat = hashed in known
            repeats.append(repeat)
            if not repeat:
                known.add(hashed)
                self._new[day].append(hashed)
        return repeats

    def _known(self, days: Mapping[int, Sequence[bytes]]) -> set[bytes]:
        known: set[bytes] = set()
        for day, hashes in days.items():
            # The day after, too: partitions of the source are not at the same moment.
            for near in (day - 1, day, day + 1):
                if near in self._meta.seen_batches:
                    prefix = seen.day_prefix(near)
                    # In the order of their keys, neighbours share what is read to find them.
                    asked = sorted(hashes)
                    held = self._state.get_many([prefix + hashed for hashed in asked])
                    known.update(hashed for hashed, found in zip(asked, held, strict=True) if found is not None)
        return known

    def known_of(self, profile: bytes) -> dict[int, set[bytes]]:
        """Day → hashes of the messages of a profile that earlier batches have taken."""
        tag = seen.profile_tag(profile)
        found: dict[int, set[bytes]] = {}
        for day in self._meta.seen_batches:
            prefix = seen.day_prefix(day) + tag
            hashes = {key[len(prefix) :] for key in self._state.keys(prefix)}
            if hashes:
                found[day] = hashes
        return found

    def among(self, profile: bytes, asked: Collection[bytes]) -> set[bytes]:
        """Those of some messages, by their hashes, that earlier batches have taken for a profile, on any day."""
        tag, ordered, found = seen.profile_tag(profile), sorted(asked), set[bytes]()
        for day in self._meta.seen_batches:
            prefix = seen.day_prefix(day) + tag
            held = self._state.get_many([prefix + hashed for hashed in ordered])
            found.update(hashed for hashed, value in zip(ordered, held, strict=True) if value is not None)
        return found

    def add(self, profile: bytes, known: Mapping[int, Iterable[bytes]]) -> None:
        """Take over what another profile's messages were, as `known_of` gives them, with the batch under way."""
        tag = seen.profile_tag(profile)
        oldest = self._meta.clock_ms // seen.DAY_MS - seen.DAYS_KEPT
        for day, hashes in known.items():
            if day >= oldest:
                self._new.setdefault(day, []).extend(tag + hashed for hashed in hashes)

    def settle(
        self, today: int, writes: dict[bytes, bytes | None], changelog: list[tuple[bytes, bytes | None]]
    ) -> None:
        """Put the batch's new ids into its writes, and those of days gone by out of the changelog."""
        meta = self._meta
        for day, hashes in self._new.items():
            if not hashes:
                continue
            number = meta.seen_batches.get(day, 0)
            meta.seen_batches[day] = number + 1
            changelog.append((seen.packed_key(day, number), b"".join(hashes)))
            prefix = seen.day_prefix(day)
            writes.update((prefix + hashed, b"") for hashed in hashes)
        self._new = {}
        for gone in [each for each in meta.seen_batches if each < today - seen.DAYS_KEPT]:
            meta.retired.setdefault(gone, 0)
        for gone, number in list(meta.retired.items()):
            until = min(number + TOMBSTONES_MAX, meta.seen_batches[gone])
            changelog.extend((seen.packed_key(gone, each), None) for each in range(number, until))
            if until < meta.seen_batches[gone]:
                meta.retired[gone] = until
            else:
                del meta.retired[gone], meta.seen_batches[gone]
