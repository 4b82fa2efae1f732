"""Two profiles that become one, folded anew from the log where they have counted messages with the same ids.

Each of the two is folded by itself, twice from the first message on that both have: with what it has counted, and
without those of its messages that came later than the other's of that id. A cell in which that makes a difference is
made of what is left of it in each; all others stay as they are, and become one as in any merge.

Of two messages with one id the first to arrive counts, but one that a split had taken out and that came back: that is
in a state (`app.stages.pieces`), of which nothing can be taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from app.definitions.model import Catalog
from app.identity.regulations import identifier_hash
from app.profiles import codec
from app.profiles.belonging import Belonging
from app.profiles.cells import CellKind
from app.profiles.merging import Merging, later
from app.profiles.remainder import advanced, remaining
from app.profiles.seen import DAY_MS, DAYS_KEPT, id_hash
from app.profiles.state import Profile
from app.stages.anew import Anew, Fold, Said
from app.stages.counted import hashes_of, waiting
from app.stages.envelope import Event, Import
from app.stages.merging import unpack
from app.stages.pieces import Piece, Pieces
from app.stages.records import InRecord
from app.stages.recounting import import_of
from app.stages.splitting import family
from app.stages.under_way import Recount as Asked
from app.stages.under_way import UnderWay

Cells = Mapping[str, Any]


class _Days:
    """Messages by the day in which they came, so far as another may still be a repeat of them."""

    def __init__(self) -> None:
        self._days: dict[int, set[bytes]] = {}

    def has(self, day: int, hashed: bytes) -> bool:
        return any(hashed in self._days.get(near, ()) for near in (day - 1, day, day + 1))

    def note(self, day: int, hashes: Collection[bytes]) -> None:
        self._days.setdefault(day, set()).update(hashes)

    def forget_before(self, day: int) -> None:
        for gone in [each for each in self._days if each < day]:
            del self._days[gone]


@dataclass(slots=True)
class Side:
    """One of the two.

    Attributes:
        names: The profile, and all that became part of it.
        held: As it is.
        parted: What it remembers of merges and splits.
    """

    names: frozenset[bytes]
    held: Profile
    parted: Merging
    seen: _Days | None = None
    """The messages that it has counted, from a day on; None where that follows from those that it has not."""
    seen_since: int = 0
    elsewhere: frozenset[bytes] = frozenset()
    """Messages that are in the log under its name, and that it has not counted."""
    fold: Fold = field(default_factory=Fold)
    told: Fold | None = None
    """The same with what counts for the other; None where there is none so far."""
    counted: _Days = field(default_factory=_Days)
    """Its events."""
    gone: _Days = field(default_factory=_Days)
    """Of identifiers that have left: what they took along and is sent again is not the profile's."""
    pieces: dict[str, Piece] = field(default_factory=dict)
    with_pieces: _Days = field(default_factory=_Days)
    """Messages that are in those: they are not folded by themselves."""

    def has(self, day: int, hashed: bytes) -> bool:
        """Whether the profile has counted a message of the log."""
        if hashed in self.elsewhere or self.gone.has(day, hashed) or self.with_pieces.has(day, hashed):
            return False
        return self.seen is None or day < self.seen_since or self.seen.has(day, hashed)

    def folds(self) -> list[Fold]:
        return [self.fold] if self.told is None else [self.fold, self.told]

    def fork(self) -> None:
        """From here on what it has counted is not all that counts."""
        if self.told is None:
            copied = codec.decode(codec.encode(self.fold.profile, 0))
            self.told = Fold(copied, self.fold.events)


def _winner(profile: str, held: Profile) -> Side:
    merging = held.merging or Merging()
    return Side(
        frozenset(each.encode() for each in family(profile, merging)), held, merging,
        elsewhere=frozenset(id_hash(each.id) for each in waiting(merging.parked)) | merging.passed.keys(),
    )  # fmt: skip


def _loser(profile: str, came: Sequence[Import]) -> Side:
    held = unpack([each.data for each in came])
    merging = held.merging or Merging()
    seen, first = _Days(), came[0].at // DAY_MS - 1
    for each in came:
        for day, packed in each.seen.items():
            seen.note(day, hashes_of(packed))
            first = min(first, day)
    names = frozenset(each.encode() for each in family(profile, merging))
    # What it had parked is in the log under its name, too, and has gone to the winner.
    return Side(names, held, merging, seen, first)


@dataclass(frozen=True, slots=True)
class Asking:
    """A recount under way, with what the partition's state has for it; for one `Recount`."""

    under_way: UnderWay
    at_ms: int
    """When the two became one, or the newest instant of either."""
    catalog: Catalog
    winner: Side
    loser: Side
    seen: dict[int, bytes]
    """Day → hashes of the loser's messages, one after the other."""

    @staticmethod
    def of(under_way: UnderWay, held: Profile, catalog: Catalog) -> Asking:
        """By the winner as it is, in which the loser's import waits."""
        asked = under_way.asked
        assert isinstance(asked, Asked)
        assert held.merging is not None
        came = [import_of(each) for each in held.merging.pieces[asked.loser]]
        winner, loser = _winner(under_way.profile, held), _loser(asked.loser, came)
        seen: dict[int, bytes] = {}
        for each in came:
            for day, packed in each.seen.items():
                seen[day] = seen.get(day, b"") + packed
        at_ms = max(asked.at, held.clock, loser.held.clock)
        return Asking(under_way, at_ms, catalog, winner, loser, seen)

    @property
    def sides(self) -> tuple[Side, Side]:
        """The winner and the loser."""
        return self.winner, self.loser

    def names(self) -> list[str]:
        """Both, and all that became part of either."""
        return sorted(key.decode() for side in self.sides for key in side.names)

    def pieces(self, partition: int) -> Pieces:
        """Of what splits had taken out, and that has come back to either; not read yet.

        Args:
            partition: The winner's.
        """
        absorbed = [name for side in self.sides for name in side.parted.absorbed]
        return Pieces(Merging(absorbed=absorbed), partition, self.under_way.offset)


@dataclass(frozen=True, slots=True)
class Recounted:
    """What came of it.

    Attributes:
        both: Has the cells in which something had counted for both; None where nothing is left of one.
        dropped: How many messages count no more.
        seen: Day → hashes of the loser's messages.
    """

    both: Profile
    dropped: int
    seen: dict[int, bytes]


class Recount(Anew):
    """Takes the records of two profiles and of all that became part of either.

    Args:
        pieces: Read to the end.
        is_whole: Whether the log of every partition that it is read from begins with its first record.
    """

    def __init__(self, topic: str, partition: int, asking: Asking, *, is_whole: bool, pieces: Pieces) -> None:
        self._asking = asking
        since = later(asking.winner.parted.since, asking.loser.parted.since)
        here = {identifier_hash(each): ":".join(each) for side in asking.sides for each in side.held.identifiers}
        super().__init__(
            topic, partition, asking.catalog, until=asking.under_way.offset, is_whole=is_whole,
            since={here[hashed]: at_ms for hashed, at_ms in since.items() if hashed in here},
        )  # fmt: skip
        self._gone_with = pieces
        self._by_name: dict[bytes, _Days] = {name: _Days() for side in self._asking.sides for name in side.names}
        """What each has seen, whatever kind of message it was: another of that id does not count there."""
        self._dropped = 0
        for name, piece in pieces.newest().items():
            asked = [piece.identifier]
            for side in asking.sides:
                is_its = name in side.parted.absorbed and side.parted.parted_of(asked) is None
                if is_its and not self._was_erased(asked, piece.at_ms):
                    side.pieces[name] = piece
                    for day, hashes in piece.days.items():
                        side.with_pieces.note(day, hashes)

    def done(self) -> Recounted:
        """What has come of it."""
        asking, plan = self._asking, self._plan
        for fold in self._folds():
            self._application(fold, self._partition, 0).pass_time(asking.at_ms)
        both = Profile()
        both.clock = asking.at_ms
        kinds = {id_: cell.kind for id_, cell in plan.cells.items()}
        both.cells = self._both(lambda profile: profile.cells, kinds)
        both.belonging = Belonging()
        for tag in sorted({tag for fold in self._folds() for tag in _collected(fold.profile)}):
            if cells := self._both(partial(_tagged, tag), plan.collective_kinds):
                both.belonging.cells[tag] = cells
        return Recounted(both, self._dropped, asking.seen)

    def _both(self, of: Callable[[Profile], Cells], kinds: Mapping[str, CellKind]) -> dict[str, Any]:
        """The cells of two in which something has counted for both, as they are then; None where nothing is left."""
        found: dict[str, Any] = {}
        for id_, kind in kinds.items():
            parts = [self._part(side, of, id_, kind) for side in self._asking.sides]
            if any(differs for differs, _ in parts):
                (_, one), (_, other) = parts
                if one is None or other is None:
                    found[id_] = other if one is None else one
                else:
                    found[id_] = kind.merge(one, other, self._asking.at_ms)
        return found

    def _part(self, side: Side, of: Callable[[Profile], Cells], id_: str, kind: CellKind) -> tuple[bool, Any]:
        """Whether what has counted for both is in a cell of one of the two, and what the cell is without it."""
        at_ms = self._asking.at_ms
        held = advanced(kind, of(side.held).get(id_), at_ms)
        if side.told is None:
            return False, held
        told, left = (advanced(kind, of(fold.profile).get(id_), at_ms) for fold in (side.told, side.fold))
        if told == left:
            return False, held
        if self._is_whole:
            return True, left
        there, log, rest = ({id_: cell} if cell is not None else {} for cell in (held, told, left))
        found = remaining(there, log, rest, {id_: kind}, at_ms)
        return (False, held) if found.whole else (True, found.cells.get(id_))

    def _folds(self) -> Sequence[Fold]:
        return [fold for side in self._asking.sides for fold in side.folds()]

    def _import(self, partition: int, record: InRecord, body: Import) -> None:
        for side in self._asking.sides:
            if (piece := side.pieces.pop(body.loser, None)) is not None:
                for fold in side.folds():
                    self._brought(fold, partition, record.offset, piece)

    def _event(self, partition: int, record: InRecord, event: Event) -> None:
        winner, loser = self._asking.sides
        side, other = (winner, loser) if record.key in winner.names else (loser, winner)
        day, hashed = event.at // DAY_MS, id_hash(event.id)
        if not side.has(day, hashed) or self._gone_with.went_on(event, hashed):
            return
        if side.parted.parted_of(event.ids) is not None:
            side.gone.note(day, [hashed])
            return
        seen, is_event = self._by_name[record.key or b""], event.name is not None
        if seen.has(day, hashed) or (is_event and side.counted.has(day, hashed)):
            return  # passed on, or sent twice
        seen.note(day, [hashed])
        is_others = is_event and (other.counted.has(day, hashed) or other.with_pieces.has(day, hashed))
        if is_event:
            side.counted.note(day, [hashed])
        if is_others:
            side.fork()
            self._dropped += 1
        for each in (seen, side.counted, side.gone):
            each.forget_before(day - DAYS_KEPT)
        said = Said.of(event)
        for fold in side.folds():
            if not (is_others and fold is side.fold):
                self._hear(fold, partition, record.offset, said, event.ids)


def _collected(profile: Profile) -> Mapping[str, Cells]:
    return profile.belonging.cells if profile.belonging is not None else {}


def _tagged(tag: str, profile: Profile) -> Cells:
    return _collected(profile).get(tag, {})
