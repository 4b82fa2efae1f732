"""Merges: one profile becomes part of another, wherever both are, while records of either are on their way.

The profile that is lost sends its state and turns into a redirect; the one that wins waits for it. What must not be
counted twice is told apart by the ids of the messages that either has applied.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import chain
from typing import TypeAlias

from app.profiles import codec
from app.profiles.merging import Merging, Parked
from app.profiles.seen import DAY_MS, HASH_BYTES, TAG_BYTES, id_hash
from app.profiles.state import Profile
from app.stages.envelope import Absorb, Body, Erase, Event, Fact, Import, Merge, Recollect, decode, imports
from app.stages.erasing import Eraser, is_ending
from app.stages.folding import Folding
from app.stages.records import InRecord
from app.stages.reports import absorbed
from app.topics import partition_of

Parsed: TypeAlias = tuple[InRecord, Body]

PIECE_BYTES = 4 << 20
"""Of one import, before base64: a record may have 8 MiB."""
_LEVEL = 1
"""Of zlib: times in a window shrink to a third, at 15 ms a megabyte."""


def pack(profile: Profile) -> list[bytes]:
    """All that another profile takes over, in pieces. What is parked is not in it: that is passed on by itself."""
    held = profile.merging
    profile.merging = Merging(absorbed=held.absorbed, waiting=held.waiting) if held is not None else None
    try:
        data = zlib.compress(codec.encode(profile, 0), _LEVEL)
    finally:
        profile.merging = held
    return [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]


def unpack(pieces: Sequence[bytes]) -> Profile:
    """The profile in these pieces.

    Raises:
        ValueError: They are no whole profile.
    """
    try:
        return codec.decode(zlib.decompress(b"".join(pieces)))
    except (zlib.error, codec.CorruptProfile) as error:
        raise ValueError(f"an import that cannot be read: {error}") from error


class Merger:
    """The records of merges in one batch, and what becomes of others while a merge is under way.

    Args:
        parsed: The batch, so far as it has been understood, whole before the first record is applied.
    """

    def __init__(self, folding: Folding, parsed: Sequence[Parsed], eraser: Eraser) -> None:
        self._folding = folding
        self._eraser = eraser
        self._seen = folding.held.seen
        self._parsed = parsed
        self._taken: dict[bytes, dict[int, set[bytes]]] = {}
        """Profile → day → hashes of the messages that came with an import in this batch."""

    def is_repeat(self, key: bytes, event: Event) -> bool:
        """Whether a message came with an import that is in this batch too, before it."""
        taken = self._taken.get(key)
        return taken is not None and any(id_hash(event.id) in hashes for hashes in taken.values())

    def holds(self, key: bytes, profile: Profile, merging: Merging, record: InRecord, body: Body, repeat: bool) -> bool:
        """Whether a record is held up here: what reaches a profile that is part of another goes there, an event that
        reaches one that waits is parked, and timers have their time when all of it is together. So is its erasure: what
        it waits for has to be taken back, too. Behind that nothing more is parked."""
        if merging.redirect:
            if type(body) in (Event, Import, Fact):
                self._pass_on(merging.redirect, record.value)
            return type(body) is not Erase
        if not merging.waiting or type(body) in (Absorb, Merge, Import, Recollect):
            return False
        if is_ending(merging):
            self._folding.work.facts.late += type(body) is Event
        elif type(body) in (Event, Erase):
            repeat = repeat or (type(body) is Event and self.is_repeat(key, body))
            merging.parked.append(Parked(record.offset, repeat, record.value or b""))
            self._folding.changed(key, profile, record.offset)
        elif type(body) is Fact and profile.belonging is not None:
            # Known from now on; what follows from it is evaluated when all of it is together.
            profile.belonging.tell(body.account, body.version, body.values)
            self._folding.changed(key, profile, record.offset)
        return True

    def absorb(self, key: bytes, profile: Profile, offset: int, loser: str) -> None:
        """Wait for the state of a profile that is part of this one from here on."""
        merging = profile.merging = profile.merging or Merging()
        if loser in merging.absorbed or loser in merging.waiting:
            return
        _pause(profile, merging)
        merging.waiting.append(loser)
        self._folding.changed(key, profile, offset)

    def hand_over(self, key: bytes, profile: Profile, offset: int, merge: Merge) -> None:
        """The profile is part of another from here on: its state goes there, then what it has parked."""
        merging = profile.merging or Merging()
        _resume(profile, merging)
        seen = self._applied_ids(key, merging, offset)
        for value in imports(merge.at, merge.id, key.decode(), pack(profile), seen):
            self._pass_on(merge.winner, value)
        for value in (*chain.from_iterable(merging.pieces.values()), *(each.value for each in merging.parked)):
            self._pass_on(merge.winner, value)
        profile.identifiers, profile.traits, profile.cells, profile.emitted = [], {}, {}, {}
        profile.armed_due, profile.belonging = 0, None
        profile.merging = Merging(redirect=merge.winner)
        self._folding.changed(key, profile, offset)

    def take_in(self, key: bytes, profile: Profile, record: InRecord, body: Import) -> None:
        """A piece of a profile that is part of this one; with the last one, all that has waited for it."""
        merging = profile.merging = profile.merging or Merging()
        if body.loser in merging.absorbed or body.part != len(merging.pieces.get(body.loser, ())):
            return  # sent twice: its sender was stopped in between
        pieces = merging.pieces.setdefault(body.loser, [])
        pieces.append(record.value or b"")
        self._folding.changed(key, profile, record.offset)
        if len(pieces) < body.parts:
            return
        loser = unpack([_import_of(value).data for value in merging.pieces.pop(body.loser)])
        _resume(profile, merging)
        merging.add(body.loser, loser.merging)
        self.take_ids(key, body)
        for each in merging.parked:
            event = decode(each.value)
            each.repeat = each.repeat or (type(event) is Event and self.is_repeat(key, event))
        self._folding.work.facts.merges += 1
        application = self._folding.application(key, profile, record.offset)
        application.pass_time(max(body.at, loser.clock))
        merge = absorbed(profile, loser, body.loser, application.plan)
        application.absorb(loser)
        self._folding.done(key, profile, record.offset, application, merge=merge)
        if merging.waiting:
            _pause(profile, merging)
        else:
            self._unpark(key, profile, merging)

    def take_ids(self, key: bytes, body: Import) -> None:
        """The messages that a profile has been told of before it became part of this one."""
        known = {day: _hashes(packed) for day, packed in body.seen.items()}
        self._seen.add(key, known)
        taken = self._taken.setdefault(key, {})
        for day, hashes in known.items():
            taken.setdefault(day, set()).update(hashes)

    def _unpark(self, key: bytes, profile: Profile, merging: Merging) -> None:
        parked, merging.parked = merging.parked, []
        for each in parked:
            body = decode(each.value)
            if type(body) is Erase:
                self._eraser.erase(key, profile, each.offset, body)
            else:
                self._folding.event(key, profile, each.offset, _event_of(each), each.repeat)

    def _applied_ids(self, key: bytes, merging: Merging, offset: int) -> dict[int, bytes]:
        """Day → hashes, one after the other, of the messages that have been applied to a profile before an offset."""
        known = self._seen.known_of(key)
        for day, hashes in self._taken.get(key, {}).items():
            known.setdefault(day, set()).update(hashes)  # those of the batch are not in the state yet
        for record, body in self._parsed:
            if record.offset >= offset:
                break
            if record.key == key and type(body) is Event:
                known.setdefault(body.at // DAY_MS, set()).add(id_hash(body.id))
        for each in merging.parked:
            event = _event_of(each)
            if not each.repeat:
                known.get(event.at // DAY_MS, set()).discard(id_hash(event.id))
        return {day: b"".join(sorted(hashes)) for day, hashes in sorted(known.items()) if hashes}

    def _pass_on(self, target: str, value: bytes | None) -> None:
        place, key = self._folding.place, target.encode()
        record = (key, value, (("content-type", b"application/json"),))
        self._folding.work.emit(self._folding.topic, partition_of(key, place.partitions), record)


def _pause(profile: Profile, merging: Merging) -> None:
    """Time stands still while a profile waits, so that what comes then has its own."""
    if profile.armed_due:
        merging.paused_due, profile.armed_due = profile.armed_due, 0


def _resume(profile: Profile, merging: Merging) -> None:
    if merging.paused_due:
        profile.armed_due, merging.paused_due = merging.paused_due, 0


def _hashes(packed: bytes) -> list[bytes]:
    size = HASH_BYTES - TAG_BYTES
    return [packed[at : at + size] for at in range(0, len(packed), size)]


def _event_of(parked: Parked) -> Event:
    body = decode(parked.value)
    assert type(body) is Event, "only events are parked"
    return body


def _import_of(value: bytes) -> Import:
    body = decode(value)
    assert type(body) is Import, "only imports are kept as pieces"
    return body
