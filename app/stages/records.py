"""What goes into a stage and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

Headers = Sequence[tuple[str, bytes]]
OutRecord = tuple[bytes | None, bytes | None, Headers]
"""Key, value, headers."""


class InRecord(Protocol):
    """One record of a batch, as Kafka clients give it."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int:
        """When the broker appended it, ms since 1970."""
        ...


@dataclass(slots=True)
class Work:
    """What one batch amounts to. The commit protocol sends and writes it in the order of the fields.

    Attributes:
        outputs: Records by (topic, partition), each list in order.
        later: The same; sent when all of `outputs` is acknowledged.
        changelog: Records of the changelog's partition, in order; the last one is the meta record. None where the
            source is its own changelog.
        writes: What the store gets in one atomic batch; None deletes. Holds the changelog's state and what is local.
        src_next: The source offset from which to go on once all of it is done.
    """

    src_next: int
    outputs: dict[tuple[str, int], list[OutRecord]] = field(default_factory=dict)
    changelog: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    writes: dict[bytes, bytes | None] = field(default_factory=dict)
    facts: Facts = field(default_factory=lambda: Facts())
    later: dict[tuple[str, int], list[OutRecord]] = field(default_factory=dict)

    def emit(self, topic: str, partition: int, record: OutRecord) -> None:
        """Add an output behind those to the same partition."""
        self.outputs.setdefault((topic, partition), []).append(record)

    def emit_later(self, topic: str, partition: int, record: OutRecord) -> None:
        """The same, of what nobody may see before the outputs are there."""
        self.later.setdefault((topic, partition), []).append(record)


@dataclass(slots=True)
class Facts:
    """What a batch amounted to, for the runtime to count and log."""

    records: int = 0
    skipped: int = 0
    """Applied before, and replayed."""
    repeats: int = 0
    """Messages whose id was seen before."""
    invalid: dict[str, int] = field(default_factory=dict)
    """By reason."""
    timers: int = 0
    due_ms: list[int] = field(default_factory=list)
    """When the timers that were applied had been due."""
    refreshed: int = 0
    """Profiles that were evaluated anew because definitions had changed."""
    resynced: int = 0
    """Profiles that were told of to connections that are new."""
    merges: int = 0
    """Profiles that have become part of others."""
    recounts: int = 0
    """Merges that wait for what two profiles have counted together, because both had messages of the same ids."""
    changes: dict[str, int] = field(default_factory=dict)
    """By entered, exited, computed."""
    newest_at_ms: int = 0
    """When the newest event in it was received."""
    linked: int = 0
    """Messages that `resolve` passed to `link`."""
    created: int = 0
    """Profiles that were made."""
    merged: int = 0
    """Profiles that became part of another."""
    aside: int = 0
    """Messages of which an identifier was left aside, because a limit was in the way."""
    suppressed: int = 0
    """Messages that were dropped, because one of their identifiers is suppressed."""
    erased: int = 0
    """Profiles that were erased."""
    late: int = 0
    """Records that came for a profile after it had been erased, and were dropped."""
    forgotten: list[bytes] = field(default_factory=list)
    """What the keys begin with that were deleted for good: their bytes are to go from the disk, too."""
