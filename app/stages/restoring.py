"""Changelog records → state, and whether state, source and group fit together. The simulation restores by it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.errors import StateError, StateErrorReason
from app.profiles import codec
from app.profiles.seen import day_of_key, seen_key, unpack
from app.profiles.store import BROUGHT, META, PART, PROFILE, SEEN, SPLIT, WAITING, StateReader, timer_key
from app.stages.meta import CATALOG_KEY, Meta


class StateWriter(StateReader, Protocol):
    """A partition's store, as a restore sees it."""

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        """One atomic write, with the changelog offset that it stands for."""
        ...


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What the broker says of a partition's source and changelog."""

    source: str
    """The source topic's name."""
    epoch: str
    """Its id."""
    source_end: int
    committed: int | None
    """The group's offset in the source; None where it has none."""
    changelog_start: int
    changelog_end: int


def meta_of(store: StateReader) -> Meta | None:
    """What a partition remembers of itself."""
    held = store.get(META)
    return Meta.decode(held) if held is not None else None


class Position(Protocol):
    """Up to where of which source a state has come."""

    @property
    def src_next(self) -> int: ...
    @property
    def epoch(self) -> str: ...


def check(partition: int, meta: Position | None, facts: LogFacts) -> None:
    """Whether state, source and group fit together."""
    src_next = meta.src_next if meta is not None else 0
    if meta is not None and meta.epoch != facts.epoch:
        raise StateError(
            partition,
            StateErrorReason.SOURCE_RECREATED,
            f"{facts.source} was recreated: state is of topic {meta.epoch}, the broker has {facts.epoch}. Its offsets "
            "start over, and this state would take new records for old ones. Bring the topic back; or stop all "
            "workers and delete the changelog topic and their data directories",
        )
    if facts.source_end < src_next:
        raise StateError(
            partition,
            StateErrorReason.SOURCE_CUT,
            f"{facts.source} ends at {facts.source_end}, but records up to {src_next} were applied: the broker lost "
            "some",
        )
    if facts.committed is not None and facts.committed > src_next:
        raise StateError(
            partition,
            StateErrorReason.CHANGELOG_LOST,
            f"the group has committed {facts.committed}, but store and changelog only reach {src_next}: the changelog "
            f"was deleted or cut. Bring it back; or reset the group's offsets on {facts.source} to compute all of it "
            "again",
        )


def apply(store: StateWriter, records: Iterable[tuple[bytes | None, bytes | None]], last_offset: int) -> None:
    """Write a stretch of the changelog into a store, with its last offset; blocks."""
    newest: dict[bytes, bytes | None] = {}
    writes: dict[bytes, bytes | None] = {}
    newest_meta = meta_of(store)
    for key, value in records:
        if key is not None and key.startswith((SPLIT, WAITING, BROUGHT)):
            # A split that is over and comes back is known by its profile, and what no longer waits by its number.
            writes[key] = value
            continue
        if key is not None and value is None and key.startswith(PROFILE):
            newest[key] = None  # the mark of an erased profile, whose time was over
        if key is None or value is None:
            continue
        if key.startswith(PART):
            # Deletions are not repeated (above): of a worker that had been replaced they could be of what is in use.
            writes[key] = value
        elif key.startswith(PROFILE):
            held = newest.get(key)
            # A worker that had been replaced may have appended late; what it did not know of wins.
            if held is None or codec.w_of(value) >= codec.w_of(held):
                newest[key] = value
        elif key.startswith(SEEN):
            day = day_of_key(key)
            writes.update((seen_key(day, hashed), b"") for hashed in unpack(value))
        elif key == CATALOG_KEY:
            writes[key] = value
        elif key == META:
            meta = Meta.decode(value)
            if newest_meta is None or meta.src_next >= newest_meta.src_next:
                newest_meta, writes[META] = meta, value
    keys = list(newest)
    for key, before in zip(keys, store.get_many(keys), strict=True):
        value, profile = newest[key], key[len(PROFILE) :]
        if value is not None:
            codec.check(value)
        if before is not None:
            if value is not None and codec.w_of(before) > codec.w_of(value):
                continue
            if due_ms := codec.armed_due_of(before):
                writes[timer_key(due_ms, profile)] = None
        if value is None or codec.is_erased(value):
            # Its parts were deleted behind it; deletions are passed over above, and these must not stay.
            parts = [each for each in (*writes, *store.keys(PART + profile)) if each.startswith(PART + profile)]
            writes.update(dict.fromkeys(parts))
        if value is None:
            writes[key] = None
            continue
        if due_ms := codec.armed_due_of(value):
            writes[timer_key(due_ms, profile)] = b""
        writes[key] = value
    store.write(writes, last_offset)
