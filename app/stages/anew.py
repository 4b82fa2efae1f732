"""Profiles folded anew from the records of the log, by the definitions that were in force when these came.

What is folded of them, and into how many profiles, is a split's (`app.stages.refold`) or a recount's
(`app.stages.recount`). Records of several partitions are taken in the order in which `events.raw` got the messages.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from app.compute.accounts import collect
from app.compute.apply import Application
from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_plan
from app.definitions.model import Catalog
from app.definitions.plan import Plan
from app.events.dates import instant
from app.events.model import Message, id_text
from app.identity.rules import Identifier
from app.profiles.belonging import Belonging
from app.profiles.state import Profile
from app.stages.envelope import Body, CatalogChange, Event, Import, Merge, decode
from app.stages.pieces import Piece
from app.stages.records import InRecord


@dataclass(slots=True)
class Fold:
    """One profile on its way through the log."""

    profile: Profile = field(default_factory=Profile)
    events: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the log, parsed."""

    event: Event
    message: Message
    at_ms: int
    """The event's own time."""

    @staticmethod
    def of(event: Event) -> Said:
        message: Message = orjson.loads(memoryview(event.message))
        claimed = instant(message.get("timestamp"))
        return Said(event, message, claimed if claimed is not None and claimed <= event.at else event.at)


class Anew(ABC):
    """Takes the records of profiles, in the order of `order`.

    Args:
        partition: Of `profiles.in`, of the profile that waits for it.
        catalog: In force now; used for what is before the first that the log still has.
        until: The offset in its partition before which events count; None for all.
        is_whole: Whether the log of every partition that it is read from begins with its first record.
        since: `type:value` → ms: what was said before that of an identifier was erased.
    """

    def __init__(
        self, topic: str, partition: int, catalog: Catalog, *, until: int | None, is_whole: bool,
        since: Mapping[str, int] | None,
    ) -> None:  # fmt: skip
        self._topic = topic
        self._partition = partition
        self._until = until
        self._since = since or {}
        self._is_whole = is_whole
        self._catalog = Catalog() if is_whole else catalog
        self._plan = _planned(self._catalog)
        self._merged: set[bytes | None] = set()
        """Those that have become part of another: what came to them later is in the log again, under its name."""

    def take(self, partition: int, record: InRecord, body: Body) -> None:
        """The next record."""
        is_later = partition == self._partition and self._until is not None and record.offset >= self._until
        if type(body) is Import:
            # Wherever it stands: the profile had it before it was folded.
            self._import(partition, record, body)
        elif is_later:
            return
        elif type(body) is CatalogChange:
            # Whichever partition has it first: behind it there, an event that had waited can be older than it is here.
            if body.catalog != self._catalog:
                self._change(body.catalog, record.offset)
        elif type(body) is Merge:
            self._merged.add(record.key)
        elif type(body) is Event and record.key not in self._merged and not self._was_erased(body.ids, body.at):
            self._event(partition, record, body)

    @abstractmethod
    def _folds(self) -> Sequence[Fold]:
        """What is being folded."""

    @abstractmethod
    def _event(self, partition: int, record: InRecord, event: Event) -> None:
        """A message of one of the names, that was not erased."""

    @abstractmethod
    def _import(self, partition: int, record: InRecord, body: Import) -> None:
        """An import to one of them."""

    def _was_erased(self, ids: Iterable[Identifier], at_ms: int) -> bool:
        return bool(self._since) and any(at_ms < self._since.get(":".join(each), at_ms) for each in ids)

    def _change(self, catalog: Catalog, offset: int) -> None:
        self._catalog, self._plan = catalog, _planned(catalog)
        for fold in self._folds():
            if fold.events:
                self._application(fold, self._partition, offset).refresh()

    def _hear(self, fold: Fold, partition: int, offset: int, said: Said, ids: Sequence[Identifier]) -> None:
        """Fold a message, as one of these identifiers."""
        event, message = said.event, said.message
        fold.events += 1
        application = self._application(fold, partition, offset)
        application.pass_time(event.at)
        application.message(message, said.at_ms, ids, received_ms=event.at, repeat=False)
        if event.name is not None and event.name in self._plan.collective:
            collect(application, message, said.at_ms, event.name)
        elif event.type == "group" and (account := id_text(message.get("groupId"))):
            belonging = fold.profile.belonging = fold.profile.belonging or Belonging()
            belonging.join(account)

    def _brought(self, fold: Fold, partition: int, offset: int, piece: Piece) -> None:
        """Fold what an identifier had taken out of a profile."""
        fold.events += piece.messages
        state = piece.state()
        application = self._application(fold, partition, offset)
        application.pass_time(max(piece.at_ms, state.clock))
        application.absorb(state, "split")

    def _application(self, fold: Fold, partition: int, offset: int) -> Application:
        """What applies a record; its changes are nobody's."""
        return Application(self._plan, fold.profile, "", "", (self._topic, partition, offset))


def _planned(catalog: Catalog) -> Plan:
    ready, _ = compile_ready(catalog.definitions)
    return compile_plan(ready)


def order(record: InRecord, body: Body) -> int:
    """Records of several partitions are taken in the order of this; those of one stay as they are."""
    if type(body) is Event:
        return body.at
    return max(record.timestamp, body.at) if type(body) is Import else record.timestamp


def wanted(record: InRecord) -> Body | None:
    """What a record of a profile, or of none, says that profiles are folded from; None for any other."""
    try:
        body = decode(record.value)
    except (ValueError, RecursionError):
        return None  # a dead letter long ago
    return body if type(body) in (Event, Import, Merge, CatalogChange) else None
