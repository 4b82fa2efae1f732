"""Erasing a profile: what it told is taken back, destinations are asked to forget the person, and nothing of it stays.

What stays for a week is a mark with the profile's id and no data, so that what is still on its way to it, by somebody
who had not heard, makes nobody new. The id is never given again (`app.identity.graph`), so the mark can be for good
without harm, and go without harm once nothing can be on its way any more.
"""

from __future__ import annotations

from app.activation.erasure import Erasure, deletes
from app.profiles.merging import Merging
from app.profiles.state import Profile
from app.profiles.store import PART, PROFILE, SPLIT
from app.stages.envelope import Body, Erase, Timer
from app.stages.folding import Folding
from app.stages.records import OutRecord
from app.stages.regulations import Erased, Failed, Part, record
from app.stages.under_way import UnderWay

MARK_KEPT_MS = 7 * 86_400_000


class Eraser:
    """The records of one batch that are about erased profiles."""

    def __init__(self, folding: Folding) -> None:
        self._folding = folding

    def erase(self, key: bytes, profile: Profile, offset: int, erase: Erase) -> None:
        """Take back, tell, and leave a mark.

        A profile that is part of another has nothing left; it goes on showing the way to what was on its way when both
        were erased, for the other one may wait for it.
        """
        if self._leads_on(profile):
            profile.armed_due = max(profile.clock, erase.at) + MARK_KEPT_MS
            self._folding.changed(key, profile, offset)
            self._receipt(Erased(erase.id, key.decode(), self._folding.place.partition, redirect=True))
            return
        folding = self._folding
        identifiers, traits, cells = list(profile.identifiers), len(profile.traits), len(profile.cells)
        parts = list(folding.held.keys_of(PART + key))
        timers = int(bool(profile.armed_due))
        application = folding.application(key, profile, offset)
        application.pass_time(erase.at)
        changed = len(application.changes)
        application.erase()
        email = application.profile.traits.get("email", [None])[0]
        folding.done(key, profile, offset, application)
        folding.reports.leave(key, profile)
        told = deletes(
            folding.held.catalog,
            folding.place.topics,
            Erasure(
                erase.id, key.decode(), identifiers, email if isinstance(email, str) and email else None,
                profile.clock, profile.sequence,
            ),
        )  # fmt: skip
        folding.send(told.records)
        self._receipt(
            Erased(
                erase.id, key.decode(), folding.place.partition, identifiers=len(identifiers), traits=traits,
                cells=cells, parts=len(parts), timers=timers, changelog=len(parts) + 1,
                changes=len(application.changes) - changed, asked=told.asked, told=told.told,
            )
        )  # fmt: skip
        self._leave_mark(profile, parts)
        folding.work.writes.update(dict.fromkeys(self._splits(key)))
        folding.work.facts.erased += 1
        folding.work.facts.forgotten += [PROFILE + key, PART + key]

    def holds(self, key: bytes, profile: Profile, body: Body) -> bool:
        """Whether a record is for somebody who was erased: then it is dropped; and a mark's time comes to its end."""
        if not profile.erased and not (self._leads_on(profile) and profile.armed_due):
            return False
        if type(body) is Timer and profile.armed_due <= body.due:
            self._folding.forget(key, profile)
            return True
        if not profile.erased:
            return False
        if type(body) is not Erase:
            self._folding.work.facts.late += 1
        return True

    def _leads_on(self, profile: Profile) -> bool:
        return profile.merging is not None and profile.merging.redirect != ""

    def _splits(self, key: bytes) -> list[bytes]:
        """Keys of splits of a profile that the state has. They are over, and come back with a late write: in them is an
        identifier."""
        held, found = self._folding.held, list[bytes]()
        for split in held.keys_of(SPLIT):
            value = held.value_of(split)
            if value is not None and UnderWay.decode(value).profile.encode() == key:
                found.append(split)
        return found

    def _leave_mark(self, profile: Profile, parts: list[bytes]) -> None:
        profile.armed_due = profile.clock + MARK_KEPT_MS
        profile.identifiers, profile.traits, profile.cells, profile.emitted = [], {}, {}, {}
        profile.clock = profile.sequence = profile.plan = 0
        profile.merging = None
        profile.erased = True
        # Not only those that it names: a restore may have brought back some that it named once.
        profile.parts = frozenset()
        self._folding.gone += parts

    def _receipt(self, part: Part) -> None:
        work = self._folding.work
        work.emit(self._folding.place.topics.regulations, 0, record(part))


def failed(erase: Erase, profile: str, error: str) -> OutRecord:
    """Says that a profile could not be erased. Of the error only its name: its text may be of the person."""
    return record(Failed(erase.id, profile, error.partition(":")[0]))


def is_ending(merging: Merging) -> bool:
    """Whether a profile that waits for another is erased as soon as that has come."""
    return bool(merging.parked) and merging.parked[-1].value.startswith(b'{"kind":"erase"')
