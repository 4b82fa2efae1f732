"""A Kafka of lists: what the simulation's hosts read from and append to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes]] = ()
    by: str = ""
    """The topic at whose reading it was made; empty for a sender's."""


class Log:
    """Partitions of topics; a record is there once it is appended, and never goes."""

    def __init__(self) -> None:
        self.partitions: dict[tuple[str, int], list[Record]] = defaultdict(list)

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        now_ms: int,
        headers: Sequence[tuple[str, bytes]] = (),
        by: str = "",
    ) -> int:
        records = self.partitions[topic, partition]
        records.append(Record(len(records), key, value, now_ms, headers, by))
        return len(records) - 1

    def end(self, topic: str, partition: int) -> int:
        return len(self.partitions[topic, partition])

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Record]:
        return self.partitions[topic, partition][offset : offset + limit]

    def all_of(self, topic: str) -> list[Record]:
        return [record for (name, _), records in sorted(self.partitions.items()) if name == topic for record in records]
