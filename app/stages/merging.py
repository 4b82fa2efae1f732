"""Merges: one profile becomes part of another, wherever both are, while records of either are on their way.

The profile that is lost sends its state and turns into a redirect; the one that wins waits for it. What must not be
counted twice is told apart by the ids of the messages that either has applied.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from app.profiles import codec
from app.profiles.merge import recounted
from app.profiles.merging import Merging, Parked
from app.profiles.seen import DAY_MS, id_hash
from app.profiles.state import Profile
from app.stages import recounting, splitting
from app.stages.counted import Counted, Parsed, hashes_of
from app.stages.envelope import (
    Absorb,
    Body,
    Erase,
    Event,
    Fact,
    Import,
    Merge,
    Part,
    Recollect,
    decode,
    imports,
    passed_on,
)
from app.stages.erasing import Eraser, is_ending
from app.stages.folding import Folding
from app.stages.records import InRecord
from app.stages.reports import Parted, absorbed, taken_in
from app.stages.under_way import key_of
from app.topics import JSON_HEADERS, partition_of

PIECE_BYTES = 4 << 20
"""Of one import, before base64: a record may have 8 MiB."""
_LEVEL = 1
"""Of zlib: times in a window shrink to a third, at 15 ms a megabyte."""


def pack(profile: Profile) -> list[bytes]:
    """All that another profile takes over, in pieces. What is parked is not in it: that is passed on by itself."""
    held = profile.merging
    if held is not None:
        profile.merging = held.remains()
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


class _Unparked(NamedTuple):
    """A record that was parked."""

    offset: int
    key: bytes
    value: bytes
    timestamp: int


class Merger:
    """The records of merges in one batch, and what becomes of others while a merge is under way.

    Args:
        parsed: The batch, so far as it has been understood, whole before the first record is applied.
    """

    def __init__(self, folding: Folding, parsed: Sequence[Parsed], eraser: Eraser) -> None:
        self._folding = folding
        self._eraser = eraser
        self.counted = Counted(folding, parsed)

    def comes_back(self, key: bytes, profile: Profile, merging: Merging, offset: int, event: Event) -> bool:
        """Whether a message that is remembered as seen was passed on, and has not been here: it counts now."""
        if not merging.passed or merging.passed.pop(id_hash(event.id), None) is None:
            return False
        self._folding.changed(key, profile, offset)
        return True

    def holds(self, key: bytes, profile: Profile, merging: Merging, record: InRecord, body: Body, repeat: bool) -> bool:
        """Whether a record is held up here: what reaches a profile that is part of another goes there, and an event
        of an identifier that left one to whom that makes; an event that reaches one that waits is parked, and so is
        everything where it waits to be parted with; timers have their time when all of it is together. So is its
        erasure: what it waits for has to be taken back, too. Behind that nothing more is parked."""
        if merging.redirect:
            if type(body) in (Event, Import, Fact):
                self._pass_on(merging.redirect, record.value)
            return type(body) is not Erase
        is_parted = not merging.waiting or (splitting.is_under_way(merging) and not merging.may_return)
        if type(body) is Event and is_parted and merging.parted:
            repeat = repeat or self.counted.is_repeat(key, body)
            if self._left(merging, body, repeat):
                if not repeat:
                    self._folding.changed(key, profile, record.offset)
                return True
        if not merging.waiting or type(body) is Recollect:
            return False
        if type(body) is Import and body.loser in merging.waiting:
            return False
        if not merging.is_parting and type(body) in (Absorb, Merge, Import):
            return False
        if is_ending(merging):
            self._folding.work.facts.late += type(body) is Event
            if type(body) is Import:  # it is waited for as soon as the profile has been parted with
                merging.parked.insert(-1, Parked(record.offset, False, record.value or b""))
                self._folding.changed(key, profile, record.offset)
            return True
        if merging.is_parting:
            merging.may_return = merging.may_return or splitting.brings_back(body, key)
        merging.is_parting = merging.is_parting or type(body) is Part
        if type(body) in (Event, Absorb, Merge, Import, Part, Erase):
            if type(body) is Event:
                repeat = repeat or self.counted.is_repeat(key, body)
                _is_here(merging, body, repeat)
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
        seen = self.counted.days(key, merging, offset)
        for recount in recounting.give_up(key, merging):
            self._folding.work.writes[key_of(recount)] = None
        for value in imports(merge.at, merge.id, key.decode(), pack(profile), seen):
            self._pass_on(merge.winner, value)
        parked = [(each, decode(each.value)) for each in merging.parked]
        values = [each.value for each, what in parked if type(what) in (Event, Import)]
        for value in (*chain.from_iterable(merging.pieces.values()), *values):
            self._pass_on(merge.winner, value)
        profile.identifiers, profile.traits, profile.cells, profile.emitted = [], {}, {}, {}
        profile.armed_due, profile.belonging = 0, None
        profile.merging = Merging(redirect=merge.winner)
        self._folding.changed(key, profile, offset)
        for each, what in parked:
            if type(what) is Erase:  # both were erased while this one was parted with
                self._eraser.erase(key, profile, each.offset, what)

    def take_in(self, key: bytes, profile: Profile, offset: int, value: bytes, body: Import) -> None:
        """A piece of a profile that is part of this one; with the last one, all that has waited for it."""
        merging = profile.merging = profile.merging or Merging()
        pieces = merging.pieces.get(body.loser, [])
        if pieces and body.part in (0, len(pieces)) and recounting.import_of(pieces[0]).id != body.id:
            # Folded once more, from a log that begins later. Whoever began last goes on.
            if body.part:
                return
            pieces = []
        if body.loser in merging.absorbed or body.part != len(pieces):
            return  # sent twice: its sender was stopped in between
        if body.split in ("left", "both") and body.loser not in merging.waiting:
            return  # of somebody who has become part of this one
        merging.pieces[body.loser] = [*pieces, value]
        self._folding.changed(key, profile, offset)
        if len(pieces) + 1 < body.parts:
            return
        if body.split != "both" and recounting.is_under_way(merging):
            came = map(recounting.import_of, merging.pieces[body.loser])
            recounting.wait_for(merging, body.loser, unpack([each.data for each in came]))
            return
        self._come(key, profile, merging, offset, body.loser)
        while not recounting.is_under_way(merging) and (name := recounting.next_whole(merging)) is not None:
            self._come(key, profile, merging, offset, name)
        if merging.waiting:
            _pause(profile, merging)
        elif key not in self.counted.unparking:
            self._unpark(key, profile, merging)

    def _come(self, key: bytes, profile: Profile, merging: Merging, offset: int, name: str) -> None:
        """All of an import has come: of a profile, of what a split has left or taken, or of a recount."""
        came = [recounting.import_of(each) for each in merging.pieces[name]]
        state, both = unpack([each.data for each in came]), None
        if not came[0].split and self.counted.shares(key, merging, offset, came):
            under_way = recounting.begin(key, merging, offset, came[0], state)
            self._folding.work.writes[key_of(under_way.id)] = under_way.encode()
            self._folding.work.facts.recounts += 1
            return
        del merging.pieces[name]
        if came[0].split == "both":
            merging.waiting.remove(name)
            self._folding.work.writes[key_of(name)] = None
            came, both = [recounting.import_of(each) for each in merging.pieces.pop(came[0].into)], state
            state = unpack([each.data for each in came])
        _resume(profile, merging)
        self._join(key, profile, merging, offset, came, state)
        if came[0].split == "left":
            self._replace(key, profile, offset, came[0], state)
        else:
            self._absorb(key, profile, offset, came[0], state, both)

    def _join(
        self, key: bytes, profile: Profile, merging: Merging, offset: int, came: Sequence[Import], state: Profile
    ) -> None:
        """Whom and which messages an import brings are known here from now on, and what is parked is told by that."""
        # What is left of a profile has what it had: nobody comes back by it.
        ids = (*profile.identifiers, *state.identifiers) if came[0].split != "left" else ()
        # What the other had passed on may have been counted here, if whom it went to has come before it.
        passed = state.merging.passed if state.merging is not None else None
        counted = self.counted.days(key, merging, offset).values() if passed else ()
        merging.add(came[0].loser, state.merging, ids)
        for piece in came:
            self.counted.take(key, piece)
        come = chain(self.counted.came(key), *map(hashes_of, counted))
        merging.have_come(come, self.counted.oldest_day)
        for each in merging.parked:
            parked = decode(each.value)
            if type(parked) is Event:
                each.repeat = each.repeat or self.counted.is_repeat(key, parked)
                _is_here(merging, parked, each.repeat)

    def _replace(self, key: bytes, profile: Profile, offset: int, body: Import, left: Profile) -> None:
        """What a split has left takes the place of what there was."""
        belonged = tuple(profile.belonging.accounts) if profile.belonging is not None else ()
        application = self._folding.application(key, profile, offset)
        application.pass_time(max(body.at, left.clock))
        application.replace(left)
        self._folding.work.writes[key_of(body.loser.partition("/")[0])] = None
        parted = Parted(body.into, belonged, frozenset(body.accounts))
        self._folding.done(key, profile, offset, application, moved=parted)

    def _absorb(
        self, key: bytes, profile: Profile, offset: int, body: Import, loser: Profile, both: Profile | None
    ) -> None:
        """Another profile, or what a split has taken out, becomes part of this one.

        Args:
            both: What the two have counted together, if that has been recounted.
        """
        application = self._folding.application(key, profile, offset)
        application.pass_time(max(body.at, loser.clock))
        if both is not None:
            recounted(profile, loser, both)
        moved = (
            taken_in(key.decode(), profile, loser, body.into, application.plan) if body.split
            else absorbed(profile, loser, body.loser, application.plan, recounted=both is not None)
        )  # fmt: skip
        application.absorb(loser, "split" if body.split else "merge")
        self._folding.work.facts.merges += not body.split
        self._folding.done(key, profile, offset, application, moved=moved)

    def part(self, key: bytes, profile: Profile, offset: int, body: Part) -> None:
        """An identifier leaves: wait for what is left of the profile without it. Or it is back, as if it were new."""
        merging = profile.merging = profile.merging or Merging()
        if splitting.brings_back(body, key):
            if splitting.came_back(merging, body):
                self._folding.changed(key, profile, offset)
            return
        under_way = splitting.begin(key, merging, offset, body)
        if under_way is None:
            return
        _pause(profile, merging)
        self._folding.work.writes[key_of(body.id)] = under_way.encode()
        self._folding.changed(key, profile, offset)

    def _unpark(self, key: bytes, profile: Profile, merging: Merging) -> None:
        """Everything that was parked, as if it came now; some of it may make the profile wait again."""
        parked = self.counted.unparking[key] = deque[Parked]()
        while True:
            held = profile.merging or merging
            if not held.waiting:
                # At first all of it; later what waited for a profile that has come meanwhile.
                parked.extendleft(reversed(held.parked))
                held.parked, held.is_parting, held.may_return = [], False, False
            if not parked:
                break
            each = parked.popleft()
            body = decode(each.value)
            if profile.erased:
                self._folding.work.facts.late += type(body) is Event
                continue
            if type(body) is Merge and not held.redirect and not held.is_parting:
                # It passes on what is parked, and it has to know that none of it has been applied.
                held.parked += parked
                parked.clear()
            record = _Unparked(each.offset, key, each.value, 0)
            if not self.holds(key, profile, held, record, body, each.repeat):
                self._unparked(key, profile, each, body)
        del self.counted.unparking[key]

    def _unparked(self, key: bytes, profile: Profile, each: Parked, body: Body) -> None:
        match body:
            case Event():
                # What it waited behind may have been an import: of who has its message, or has passed it on.
                repeat = each.repeat or self.counted.is_repeat(key, body)
                if profile.merging is not None:
                    _is_here(profile.merging, body, repeat)
                self._folding.event(key, profile, each.offset, body, repeat)
            case Absorb():
                self.absorb(key, profile, each.offset, body.loser)
            case Merge():
                self.hand_over(key, profile, each.offset, body)
            case Import():
                self.take_in(key, profile, each.offset, each.value, body)
            case Part():
                self.part(key, profile, each.offset, body)
            case Erase():
                self._eraser.erase(key, profile, each.offset, body)
            case _:
                raise AssertionError(f"{type(body).__name__} is never parked")

    def _left(self, merging: Merging, body: Event, repeat: bool) -> bool:
        """Whether an event is of an identifier that left: it is passed on, and has never been here, for it may come
        back, if the two become one again. A repeat is not: what it repeats was here, and has left with the others."""
        found = merging.parted_of(body.ids)
        if found is not None and not repeat:
            into, ids = found
            self._pass_on(into, passed_on(body, ids))
            merging.pass_on(id_hash(body.id), body.at // DAY_MS, self.counted.oldest_day)
        return found is not None

    def _pass_on(self, target: str, value: bytes | None) -> None:
        place, key = self._folding.place, target.encode()
        record = (key, value, JSON_HEADERS)
        self._folding.work.emit(self._folding.topic, partition_of(key, place.partitions), record)


def _is_here(merging: Merging, event: Event, repeat: bool) -> None:
    """A message counts, or waits to: though somebody who is part of the profile has passed it on, it has come."""
    if merging.passed and not repeat:
        merging.passed.pop(id_hash(event.id), None)


def _pause(profile: Profile, merging: Merging) -> None:
    """Time stands still while a profile waits, so that what comes then has its own."""
    if profile.armed_due:
        merging.paused_due, profile.armed_due = profile.armed_due, 0


def _resume(profile: Profile, merging: Merging) -> None:
    if merging.paused_due:
        profile.armed_due, merging.paused_due = merging.paused_due, 0
