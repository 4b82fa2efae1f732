"""What a partition remembers of itself: the last record of each batch in the changelog, and of each write."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from app.profiles.store import META

Connection = tuple[str, str]
"""(destination, definition's id)."""

CATALOG_KEY = META + b"catalog"
"""The catalogue in force, as JSON; in the changelog whenever it changes."""

LOG_KEY = META + b"log"
"""Local: the changelog offset up to which the store holds everything, 8 bytes big-endian."""


@dataclass(slots=True)
class Resyncing:
    """Connections that are new and are being told what there is."""

    connections: list[Connection]
    after: str = ""
    """The last profile that was told of."""


@dataclass(slots=True)
class Meta:
    """The key `m|`.

    Attributes:
        src_next: The first offset of `profiles.in` that has not been applied.
        epoch: The id of that topic, in hexadecimal; a recreated topic is another epoch.
        generation: Of the consumer group, when it was written.
        clock_ms: The newest instant in the log so far.
        seen_batches: Day → how many packed records of seen ids the changelog has.
        resyncs: By the offset of the catalogue that made them new and their destination, connections that are being
            told what there is; in the order in which they are told.
        retired: Days whose packed records are being deleted from the changelog → the next one to delete.
    """

    src_next: int = 0
    epoch: str = ""
    generation: int = 0
    clock_ms: int = 0
    seen_batches: dict[int, int] = field(default_factory=dict)
    retired: dict[int, int] = field(default_factory=dict)
    resyncs: dict[str, Resyncing] = field(default_factory=dict)

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @staticmethod
    def decode(data: bytes) -> Meta:
        return msgspec.msgpack.decode(data, type=Meta)
