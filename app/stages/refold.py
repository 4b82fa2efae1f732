"""A profile folded anew from the log, as two: what is left of it without an identifier, and what that takes with it.

An event goes with the identifier if it names it. Events of all profiles that became part of this one are folded as if
it had had them all from the start, in the order in which `events.raw` got them, by the definitions that were in force;
but for those that had gone with an identifier before: they are its for good (`app.stages.pieces`).

Where the log no longer reaches back to the profile's beginning, its state is more than the log can tell. Of each cell
the profile keeps what it has beyond what the log tells of both (`app.profiles.remainder`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.definitions.model import Catalog
from app.identity.regulations import identifier_hash
from app.identity.rules import Identifier
from app.profiles.belonging import Belonging
from app.profiles.merging import Merging
from app.profiles.remainder import remaining
from app.profiles.seen import DAY_MS, DAYS_KEPT, id_hash
from app.profiles.state import Profile
from app.stages.anew import Anew, Fold, Said
from app.stages.counted import waiting
from app.stages.envelope import Event, Import
from app.stages.pieces import Piece, Pieces
from app.stages.records import InRecord


@dataclass(slots=True)
class Refolded:
    """What came of it. The profiles are as they are packed for an import."""

    left: Profile
    """Cells, custom traits and identifiers of the profile without the identifier."""
    taken: Profile
    """The same of the identifier; what was emitted is what it has been told of the profile."""
    left_seen: Mapping[int, bytes]
    """Day → hashes of the messages in it, one after the other; those of the last days."""
    taken_seen: Mapping[int, bytes]
    """The same of all days: they tell what of the log is the identifier's for good."""
    left_events: int
    taken_events: int
    kept: frozenset[str]
    """Cells in which there is something from before the log; it stays, whosever it was."""

    @property
    def left_accounts(self) -> tuple[str, ...]:
        """Those that what is left belongs to."""
        return _accounts(self.left)

    @property
    def taken_accounts(self) -> tuple[str, ...]:
        """The same of the identifier."""
        return _accounts(self.taken)


@dataclass(slots=True)
class _Fold(Fold):
    """One profile on its way through the log."""

    days: dict[int, set[bytes]] = field(default_factory=dict)
    """Day → hashes of its messages, where another may still be a repeat of one of them."""
    gone: dict[int, bytes] = field(default_factory=dict)
    """The same of days before."""

    def note(self, day: int, hashed: bytes) -> None:
        """It has a message of a day."""
        self.days.setdefault(day, set()).add(hashed)
        for gone in [each for each in self.days if each < day - DAYS_KEPT]:
            self.gone[gone] = self.gone.get(gone, b"") + b"".join(sorted(self.days.pop(gone)))

    def ever(self) -> dict[int, bytes]:
        """Day → hashes, one after the other, of all its messages."""
        days = _packed(self.days)
        return {day: self.gone.get(day, b"") + days.get(day, b"") for day in sorted(self.gone.keys() | days.keys())}


class Refold(Anew):
    """Takes the records of a profile and of all that became part of it.

    Args:
        partition: The profile's, of `profiles.in`.
        names: The profile, and all that became part of it.
        identifier: The one that leaves.
        held: The profile as it is; not changed.
        catalog: In force now; used for what is before the first that the log still has.
        until: The offset in its partition before which events count; None for all.
        since: `type:value` → ms: what was said before that of an identifier was erased.
        pieces: Read to the end; None where the profile has taken in nothing that a split had taken out.
        is_whole: Whether the log of every partition that it is read from begins with its first record.
    """

    def __init__(
        self, topic: str, partition: int, names: Collection[str], identifier: Identifier, held: Profile,
        catalog: Catalog, *, until: int | None, is_whole: bool, since: Mapping[str, int] | None = None,
        pieces: Pieces | None = None,
    ) -> None:  # fmt: skip
        super().__init__(topic, partition, catalog, until=until, is_whole=is_whole, since=since)
        self._names = frozenset(names)
        self._identifier = identifier
        self._held = held
        merging = held.merging or Merging()
        self._elsewhere = {id_hash(each.id) for each in waiting(merging.parked)} | merging.passed.keys()
        """Messages that are in the log under one of the names and that the profile has not counted: those that wait
        here are told apart by themselves, and those that were passed on count with whom they belong to."""
        parted = dict(merging.parted)
        parted.pop(identifier_hash(identifier), None)
        self._parted = Merging(parted=parted)
        self._left, self._taken, self._all = _Fold(), _Fold(), _Fold()
        self._others = _Fold()
        """Whose identifiers have left: of messages that they took along, what was sent twice is not the profile's."""
        self._gone_with = pieces or Pieces(None)
        self._pieces: dict[str, Piece] = {}
        self._with_pieces: dict[int, set[bytes]] = {}
        """Day → hashes of the messages that are in those: they are not folded by themselves."""
        for name, piece in self._gone_with.newest().items():
            asked = [piece.identifier]
            if not self._was_erased(asked, piece.at_ms) and self._parted.parted_of(asked) is None:
                self._pieces[name] = piece
                for day, hashes in piece.days.items():
                    self._with_pieces.setdefault(day, set()).update(hashes)

    def done(self, at_ms: int) -> Refolded:
        """What has come of it, at an instant not before that of the last record."""
        for fold in (self._left, self._taken, self._all):
            self._application(fold, self._partition, 0).pass_time(at_ms)
        left, taken = self._left.profile, self._taken.profile
        older = frozenset() if self._is_whole else self._with_what_was_before(at_ms)
        left.identifiers = [each for each in self._held.identifiers if each != self._identifier]
        left.emitted = {}
        taken.identifiers = [self._identifier]
        taken.emitted = dict(self._held.emitted)
        self._belong(at_ms)
        return Refolded(
            left, taken, _packed(self._left.days), self._taken.ever(), self._left.events, self._taken.events, older
        )

    def _folds(self) -> Sequence[Fold]:
        return self._left, self._taken, self._all

    def _import(self, partition: int, record: InRecord, body: Import) -> None:
        if (piece := self._pieces.pop(body.loser, None)) is not None:
            self._take_in(partition, record.offset, piece)

    def _take_in(self, partition: int, offset: int, piece: Piece) -> None:
        """What an identifier had taken out of a profile."""
        mine = self._whose([piece.identifier])
        for day, hashes in piece.days.items():
            mine.days.setdefault(day, set()).update(hashes)
        for fold in (mine, self._all):
            self._brought(fold, partition, offset, piece)

    def _whose(self, ids: Collection[Identifier]) -> _Fold:
        """What names the identifier is its; the rest is left."""
        return self._taken if self._identifier in ids else self._left

    def _event(self, partition: int, record: InRecord, event: Event) -> None:
        day, hashed = event.at // DAY_MS, id_hash(event.id)
        if hashed in self._elsewhere or self._gone_with.went_on(event, hashed):
            return
        for days in (self._left.days, self._taken.days, self._others.days, self._with_pieces):
            if any(hashed in days.get(near, ()) for near in (day - 1, day, day + 1)):
                return  # passed on, sent twice, or gone with an identifier before
        if self._parted.parted_of(event.ids) is not None:
            self._others.note(day, hashed)
            return
        mine = self._whose(event.ids)
        mine.note(day, hashed)
        said = Said.of(event)
        for fold in (mine, self._all):
            ids = [self._identifier] if fold is self._taken else event.ids
            self._hear(fold, partition, record.offset, said, ids)

    def _with_what_was_before(self, at_ms: int) -> frozenset[str]:
        """What the profile has from before the log stays with it; gives the cells in which there is any."""
        left, taken = self._left.profile, self._taken.profile
        kinds = {id_: cell.kind for id_, cell in self._plan.cells.items()}
        found = remaining(self._held.cells, self._all.profile.cells, left.cells, kinds, at_ms)
        left.cells = found.cells
        for id_ in found.whole:
            taken.cells.pop(id_, None)
        left.traits = self._traits()
        return frozenset(found.older)

    def _belong(self, at_ms: int) -> None:
        """Each belongs to those accounts of the profile's that its own calls name, and knows what they had told that.
        Where the log does not tell all, the profile stays in all of them, with what there was before it."""
        held = self._held.belonging or Belonging()
        for fold in (self._left, self._taken):
            own = fold.profile.belonging or Belonging()
            stays = fold is self._left and not self._is_whole
            fold.profile.belonging = belonging = held.only(held.accounts if stays else own.accounts)
            belonging.sent, belonging.cells = 0, own.cells
        if self._is_whole:
            return
        told, kinds = self._all.profile.belonging or Belonging(), self._plan.collective_kinds
        left, taken = self._left.profile.belonging, self._taken.profile.belonging
        assert left is not None
        assert taken is not None
        for tag in held.cells.keys() | told.cells.keys():
            there, log = held.cells.get(tag, {}), told.cells.get(tag, {})
            found = remaining(there, log, left.cells.get(tag, {}), kinds, at_ms)
            left.cells[tag] = found.cells
            for id_ in found.whole:
                taken.cells.get(tag, {}).pop(id_, None)

    def _traits(self) -> dict[str, list[Any]]:
        """Those whose last writer the log has are as it tells; others are from before it."""
        left = dict(self._left.profile.traits)
        for key, written in self._held.traits.items():
            told = self._all.profile.traits.get(key)
            if told is None or told[:2] != written[:2]:
                left[key] = written
        return left


def _packed(days: Mapping[int, Collection[bytes]]) -> dict[int, bytes]:
    """Day → its hashes, one after the other."""
    return {day: b"".join(sorted(hashes)) for day, hashes in sorted(days.items())}


def _accounts(profile: Profile) -> tuple[str, ...]:
    return tuple(profile.belonging.accounts) if profile.belonging is not None else ()
