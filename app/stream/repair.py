"""A foreign write in a changelog partition that has one owner: read it, and append again what it hides.

A worker that slept past its session may append late. Its records are old, but they stand last, and compaction keeps the
last: without this a later restore from nothing would find the older state of those profiles.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set

from app.kafka.consumer import BulkRead, BulkReader
from app.kafka.producer import Producer
from app.profiles.store import META, PART, PROFILE
from app.stages.meta import CATALOG_KEY
from app.stream.store import PartitionStore

Repair = Callable[[int, int, Set[bytes]], Awaitable[int]]
"""(first foreign offset, the offset behind the last one, keys that were appended behind it) → the changelog's last
offset of ours after the repair; -1 when nothing had to be appended."""


async def append_hidden(
    topic: str,
    partition: int,
    store: PartitionStore,
    reader: BulkReader,
    producer: Producer,
    start: int,
    end: int,
    newer: Set[bytes],
) -> int:
    """Append the store's own state of every key that a foreign stretch [start, end) holds.

    Args:
        newer: Keys whose state already stands behind the stretch.
    Returns:
        The last offset of what was appended; -1 for nothing.
    """
    hidden: dict[bytes, bytes | None] = {}
    async for records in reader.read(BulkRead(topic, partition, start, end)):
        for record in records:
            key = record.key
            if key is not None and key not in newer and (key.startswith((PROFILE, PART)) or key in (META, CATALOG_KEY)):
                ours = store.get(key)
                if ours is not None:
                    hidden[key] = ours
    if not hidden:
        return -1
    _, last = await producer.append(topic, partition, list(hidden.items()))
    return last
