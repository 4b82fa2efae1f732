"""A profile folded anew from the log, as two: what is left of it without an identifier, and what that takes with it.

An event goes with the identifier if it names it. Events of all profiles that became part of this one are folded as if
it had had them all from the start, in the order in which `events.raw` got them, by the definitions that were in force.

Where the log no longer reaches back to the profile's beginning, its state is more than the log can tell. Of each cell
that the log alone would have just as the profile has it, the log tells all; any other stays with the profile as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from app.compute.accounts import collect
from app.compute.apply import Application
from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_plan
from app.definitions.model import Catalog
from app.definitions.plan import Plan
from app.events.dates import instant
from app.events.model import Message, id_text
from app.identity.regulations import identifier_hash
from app.identity.rules import Identifier
from app.profiles.belonging import Belonging, Cells
from app.profiles.cells import CellKind
from app.profiles.merging import Merging
from app.profiles.seen import DAY_MS, DAYS_KEPT, id_hash
from app.profiles.state import Profile
from app.stages.envelope import Body, CatalogChange, Event, Import, Merge, decode
from app.stages.merging import hashes_of, unpack
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
    left_events: int
    taken_events: int
    of: tuple[str, ...]
    """Under which names all of these are in the log."""
    kept: frozenset[str]
    """Cells that stayed as they were, with what the identifier has in them: the log does not tell all of them."""

    @property
    def left_accounts(self) -> tuple[str, ...]:
        """Those that what is left belongs to."""
        return _accounts(self.left)

    @property
    def taken_accounts(self) -> tuple[str, ...]:
        """The same of the identifier."""
        return _accounts(self.taken)


@dataclass(slots=True)
class _Fold:
    """One profile on its way through the log."""

    profile: Profile = field(default_factory=Profile)
    events: int = 0
    days: dict[int, set[bytes]] = field(default_factory=dict)

    def seen(self) -> dict[int, bytes]:
        return {day: b"".join(sorted(hashes)) for day, hashes in sorted(self.days.items())}


class Refold:
    """Takes the records of a profile and of all that became part of it, in the order of `order`.

    Args:
        partition: The profile's, of `profiles.in`.
        names: The profile, and all that became part of it.
        identifier: The one that leaves.
        held: The profile as it is; not changed.
        catalog: In force now; used for what is before the first that the log still has.
        until: The offset in its partition before which records count; None for all. What was taken out of another
            profile counts wherever it stands: this one waits for it before it is parted.
        since: `type:value` → ms: what was said before that of an identifier was erased.
        is_whole: Whether the log of every partition that it is read from begins with its first record.
    """

    def __init__(
        self, topic: str, partition: int, names: Collection[str], identifier: Identifier, held: Profile,
        catalog: Catalog, *, until: int | None, is_whole: bool, since: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        self._topic = topic
        self._partition = partition
        self._names = frozenset(names)
        self._identifier = identifier
        self._held = held
        merging = held.merging or Merging()
        parked = (decode(each.value) for each in merging.parked if not each.repeat)
        self._elsewhere = {id_hash(each.id) for each in parked if type(each) is Event} | merging.passed.keys()
        """Messages that are in the log under one of the names and that the profile has not counted: those that wait
        here are told apart by themselves, and those that were passed on count with whom they belong to."""
        parted = dict(merging.parted)
        parted.pop(identifier_hash(identifier), None)
        self._parted = Merging(parted=parted)
        self._merged: set[bytes | None] = set()
        """Those that have become part of another: what came to them later is in the log again, under its name."""
        self._until = until
        self._since = since or {}
        self._is_whole = is_whole
        self._catalog = Catalog() if is_whole else catalog
        self._plan = _planned(self._catalog)
        self._left, self._taken, self._all = _Fold(), _Fold(), _Fold()
        self._of = set(names)
        self._returned: set[Identifier] = set()
        """Those that left one of these profiles and came back."""
        self._together: set[Identifier] = set()
        """Those that are named together with others."""
        self._pieces: dict[str, list[Import]] = {}
        """Of states that were taken out of other profiles, by the name under which they came."""

    def take(self, partition: int, record: InRecord, body: Body) -> None:
        """The next record."""
        is_later = partition == self._partition and self._until is not None and record.offset >= self._until
        if is_later and type(body) is not Import:
            return
        if type(body) is CatalogChange:
            # Whichever partition has it first: behind it there, an event that had waited can be older than it is here.
            if body.catalog != self._catalog:
                self._change(body.catalog, record.offset)
        elif type(body) is Import:
            if body.split == "taken":
                self._import(partition, record.offset, body)
        elif type(body) is Merge:
            self._merged.add(record.key)
        elif type(body) is Event and record.key not in self._merged:
            if len(body.ids) > 1:
                self._together.update(body.ids)
            if self._was_erased(body.ids, body.at):
                # With which of several it had left, its names do not tell.
                self._is_whole = self._is_whole and len(body.ids) == 1
            elif self._parted.parted_of(body.ids) is None:
                self._event(partition, record.offset, body)

    def done(self, at_ms: int) -> Refolded:
        """What has come of it, at an instant not before that of the last record."""
        for fold in (self._left, self._taken, self._all):
            self._application(fold, self._partition, 0).pass_time(at_ms)
        # With which of two an event left, and whether it came back with that, its names do not tell.
        self._is_whole = self._is_whole and self._returned.isdisjoint(self._together)
        kept = frozenset() if self._is_whole else self._kept(at_ms)
        left = self._left.profile
        left.cells |= {cell_id: self._held.cells[cell_id] for cell_id in kept if cell_id in self._held.cells}
        if not self._is_whole:
            left.traits = self._traits()
        left.identifiers = [each for each in self._held.identifiers if each != self._identifier]
        left.emitted = {}
        taken = self._taken.profile
        taken.identifiers = [self._identifier]
        taken.emitted = dict(self._held.emitted)
        self._belong(at_ms)
        return Refolded(
            left, taken, self._left.seen(), self._taken.seen(), self._left.events, self._taken.events,
            tuple(sorted(self._of)), kept,
        )  # fmt: skip

    def _change(self, catalog: Catalog, offset: int) -> None:
        self._catalog, self._plan = catalog, _planned(catalog)
        for fold in (self._left, self._taken, self._all):
            if fold.events:
                self._application(fold, self._partition, offset).refresh()

    def _import(self, partition: int, offset: int, piece: Import) -> None:
        """A piece of a state; with its last one, all of it is its identifier's."""
        pieces = self._pieces.setdefault(piece.loser, [])
        if pieces and len(pieces) == pieces[0].parts:
            return  # said twice
        if pieces and piece.part == 0 and piece.id != pieces[0].id:
            pieces.clear()
        if piece.part != len(pieces) or (pieces and piece.id != pieces[0].id):
            return
        pieces.append(piece)
        if len(pieces) < piece.parts:
            return
        state = unpack([each.data for each in pieces])
        (identifier,) = state.identifiers
        if not self._names.isdisjoint(piece.of):
            # Its events are here by themselves, or some of them are: parts that were parted again and came together.
            self._is_whole = self._is_whole and self._names.issuperset(piece.of)
            self._returned.add(identifier)
            return
        if self._was_erased([identifier], piece.at) or self._parted.parted_of([identifier]) is not None:
            return
        mine = self._taken if identifier == self._identifier else self._left
        self._of.update(piece.of)
        for day, packed in piece.seen.items():
            mine.days.setdefault(day, set()).update(hashes_of(packed))
        for fold in (mine, self._all):
            application = self._application(fold, partition, offset)
            application.pass_time(max(piece.at, state.clock))
            application.absorb(unpack([each.data for each in pieces]), "split")

    def _was_erased(self, ids: Iterable[Identifier], at_ms: int) -> bool:
        return bool(self._since) and any(at_ms < self._since.get(":".join(each), at_ms) for each in ids)

    def _event(self, partition: int, offset: int, event: Event) -> None:
        goes = self._identifier in event.ids
        mine = self._taken if goes else self._left
        day, hashed = event.at // DAY_MS, id_hash(event.id)
        if hashed in self._elsewhere:
            return
        for near in (day - 1, day, day + 1):
            if any(hashed in fold.days.get(near, ()) for fold in (self._left, self._taken)):
                return  # passed on, or sent twice
        mine.days.setdefault(day, set()).add(hashed)
        for gone in [each for each in mine.days if each < day - DAYS_KEPT]:
            del mine.days[gone]
        message: Message = orjson.loads(memoryview(event.message))
        claimed = instant(message.get("timestamp"))
        own_ms = claimed if claimed is not None and claimed <= event.at else event.at
        for fold in (mine, self._all):
            fold.events += 1
            ids = [self._identifier] if goes and fold is mine else event.ids
            application = self._application(fold, partition, offset)
            application.pass_time(event.at)
            application.message(message, own_ms, ids, received_ms=event.at, repeat=False)
            if event.name is not None and event.name in self._plan.collective:
                collect(application, message, own_ms, event.name)
            elif event.type == "group" and (account := id_text(message.get("groupId"))):
                belonging = fold.profile.belonging = fold.profile.belonging or Belonging()
                belonging.join(account)

    def _application(self, fold: _Fold, partition: int, offset: int) -> Application:
        """What applies a record; its changes are nobody's."""
        return Application(self._plan, fold.profile, "", "", (self._topic, partition, offset))

    def _belong(self, at_ms: int) -> None:
        """Each belongs to those accounts of the profile's that its own calls name, and knows what they had told that.
        Where the log does not tell all, the profile stays in all of them, with what it alone does not tell."""
        held = self._held.belonging or Belonging()
        for fold in (self._left, self._taken):
            own = fold.profile.belonging or Belonging()
            stays = fold is self._left and not self._is_whole
            fold.profile.belonging = belonging = held.only(held.accounts if stays else own.accounts)
            belonging.sent, belonging.cells = 0, own.cells
        if self._is_whole:
            return
        told, kinds = self._all.profile.belonging or Belonging(), self._plan.collective_kinds
        left = self._left.profile.belonging
        assert left is not None
        for tag in held.cells.keys() | told.cells.keys():
            there = held.cells.get(tag, {})
            kept = _unlike(there, told.cells.get(tag, {}), kinds, at_ms)
            cells = {id_: cell for id_, cell in left.cells.get(tag, {}).items() if id_ not in kept}
            left.cells[tag] = cells | {id_: there[id_] for id_ in kept if id_ in there}

    def _kept(self, at_ms: int) -> frozenset[str]:
        """Cells that the log alone does not tell, or not as the profile has them."""
        kinds = {id_: cell.kind for id_, cell in self._plan.cells.items()}
        found = _unlike(self._held.cells, self._all.profile.cells, kinds, at_ms)
        for cell_id in found:
            self._left.profile.cells.pop(cell_id, None)
        return found

    def _traits(self) -> dict[str, list[Any]]:
        """Those whose last writer the log has are as it tells; others are from before it."""
        left = dict(self._left.profile.traits)
        for key, written in self._held.traits.items():
            told = self._all.profile.traits.get(key)
            if told is None or told[:2] != written[:2]:
                left[key] = written
        return left


def _accounts(profile: Profile) -> tuple[str, ...]:
    return tuple(profile.belonging.accounts) if profile.belonging is not None else ()


def _unlike(there: Cells, told: Cells, kinds: Mapping[str, CellKind], at_ms: int) -> frozenset[str]:
    """Which cells are not the same in both, at an instant."""
    found: set[str] = set()
    for id_ in (there.keys() | told.keys()) & kinds.keys():
        ours, theirs = (
            _copied(kinds[id_].advance(_copied(each[id_]), at_ms)) if id_ in each else None for each in (there, told)
        )
        if ours != theirs:
            found.add(id_)
    return frozenset(found)


def _copied(cell: Any) -> Any:
    """As it is stored: to be compared, and advanced without a change to the profile's own."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(cell))


def _planned(catalog: Catalog) -> Plan:
    ready, _ = compile_ready(catalog.definitions)
    return compile_plan(ready)


def order(record: InRecord, body: Body) -> int:
    """Records of several partitions are taken in the order of this; those of one stay as they are."""
    if type(body) is Event:
        return body.at
    return max(record.timestamp, body.at) if type(body) is Import else record.timestamp


def wanted(record: InRecord, keys: frozenset[bytes]) -> Body | None:
    """What a record says that a profile is folded from; None for any other.

    Args:
        keys: The profile's, and those of all that became part of it.
    """
    if record.key is not None and record.key not in keys:
        return None
    try:
        body = decode(record.value)
    except (ValueError, RecursionError):
        return None  # a dead letter long ago
    return body if type(body) in (Event, Import, Merge, CatalogChange) else None
