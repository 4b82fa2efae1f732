"""Which messages the profiles of a batch have counted, by the hashes of their ids: what must not count again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeAlias

from app.profiles.merging import Merging, Parked
from app.profiles.seen import DAY_MS, DAYS_KEPT, HASH_BYTES, TAG_BYTES, id_hash
from app.stages.envelope import Body, Event, Import, decode
from app.stages.folding import Folding
from app.stages.records import InRecord

Parsed: TypeAlias = tuple[InRecord, Body]


class Counted:
    """As of any record of a batch: what its partition remembers, what imports have brought, and the batch's own.

    Args:
        parsed: The batch, so far as it has been understood, whole before the first record is applied.
    """

    def __init__(self, folding: Folding, parsed: Sequence[Parsed]) -> None:
        self._seen = folding.held.seen
        self._meta = folding.meta
        self._parsed = parsed
        self._taken: dict[bytes, dict[int, set[bytes]]] = {}
        """Profile → day → hashes of the messages that came with an import in this batch."""
        self.unparking: dict[bytes, Collection[Parked]] = {}
        """Profile → what it had parked, and has not been applied yet, while that has its turn."""

    @property
    def oldest_day(self) -> int:
        """Before that nothing is remembered."""
        return self._meta.clock_ms // DAY_MS - DAYS_KEPT

    def take(self, key: bytes, body: Import) -> None:
        """The messages that a profile has been told of before it became part of this one, so far as they are kept."""
        known = {day: hashes_of(packed) for day, packed in body.seen.items() if day >= self.oldest_day}
        self._seen.add(key, known)
        taken = self._taken.setdefault(key, {})
        for day, hashes in known.items():
            taken.setdefault(day, set()).update(hashes)

    def came(self, key: bytes) -> Iterator[bytes]:
        """The messages that have come to a profile with imports of this batch."""
        for hashes in self._taken.get(key, {}).values():
            yield from hashes

    def is_repeat(self, key: bytes, event: Event) -> bool:
        """Whether a message came with an import that is in this batch too, before it."""
        taken = self._taken.get(key)
        return taken is not None and any(id_hash(event.id) in hashes for hashes in taken.values())

    def days(self, key: bytes, merging: Merging, offset: int) -> dict[int, bytes]:
        """Day → hashes, one after the other, of the messages that have been applied to a profile before an offset."""
        known = self._seen.known_of(key)
        for day, hashes in self._taken.get(key, {}).items():
            known.setdefault(day, set()).update(hashes)  # those of the batch are not in the state yet
        for event in self._heard(key, offset):
            known.setdefault(event.at // DAY_MS, set()).add(id_hash(event.id))
        for parked in self._waiting(key, merging):
            known.get(parked.at // DAY_MS, set()).discard(id_hash(parked.id))
        for hashes in known.values():
            hashes.difference_update(merging.passed)
        return {day: b"".join(sorted(hashes)) for day, hashes in sorted(known.items()) if hashes}

    def shares(self, key: bytes, merging: Merging, offset: int, came: Iterable[Import]) -> bool:
        """Whether any of the messages that come with an import has been applied here, or another under its id."""
        theirs = {hashed for each in came for packed in each.seen.values() for hashed in hashes_of(packed)}
        if not theirs:
            return False
        found = self._seen.among(key, theirs)
        found.update(theirs.intersection(self.came(key)))
        found.update(hashed for event in self._heard(key, offset) if (hashed := id_hash(event.id)) in theirs)
        if found:
            found.difference_update(merging.passed, (id_hash(each.id) for each in self._waiting(key, merging)))
        return bool(found)

    def _waiting(self, key: bytes, merging: Merging) -> Iterator[Event]:
        return waiting((*merging.parked, *self.unparking.get(key, ())))

    def _heard(self, key: bytes, offset: int) -> Iterator[Event]:
        """The profile's messages in this batch that came before an offset."""
        for record, body in self._parsed:
            if record.offset >= offset:
                return
            if record.key == key and type(body) is Event:
                yield body


def waiting(parked: Iterable[Parked]) -> Iterator[Event]:
    """The messages that are parked, and that a profile has not counted under any record."""
    for each in parked:
        if not each.repeat and type(body := decode(each.value)) is Event:
            yield body


def hashes_of(packed: bytes) -> list[bytes]:
    size = HASH_BYTES - TAG_BYTES
    return [packed[at : at + size] for at in range(0, len(packed), size)]
