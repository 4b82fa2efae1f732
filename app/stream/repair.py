"""A foreign write in a changelog partition that has one owner: read it, and append again what it hides.

A worker that slept past its session may append late. Its records are old, but they stand last, and compaction keeps the
last: without this a later restore from nothing would find the older state of those profiles.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set

from app.kafka.consumer import BulkRead, BulkReader
from app.kafka.producer import Producer
from app.profiles.store import BROUGHT, META, PART, PROFILE, SPLIT, WAITING
from app.stages.link_state import ANSWER, NODE, REGULATION, RULES_KEY
from app.stages.meta import CATALOG_KEY
from app.stream.store import PartitionStore

Repair = Callable[[int, int, Set[bytes]], Awaitable[int]]
"""(first foreign offset, the offset behind the last one, keys that were appended behind it) → the changelog's last
offset of ours after the repair; -1 when nothing had to be appended."""


def is_profile_state(key: bytes) -> bool:
    """In the profiles' changelog; seen ids are told apart by their own numbers."""
    return key.startswith((PROFILE, PART, SPLIT, WAITING, BROUGHT)) or key in (META, CATALOG_KEY)


def is_graph_state(key: bytes) -> bool:
    """In the changelog of the graph."""
    return key.startswith((NODE, REGULATION, ANSWER)) or key in (META, RULES_KEY)


async def append_hidden(
    topic: str,
    partition: int,
    store: PartitionStore,
    reader: BulkReader,
    producer: Producer,
    start: int,
    end: int,
    newer: Set[bytes],
    is_state: Callable[[bytes], bool],
) -> int:
    """Append the store's own state of every key that a foreign stretch [start, end) holds.

    Args:
        newer: Keys whose state already stands behind the stretch.
        is_state: Of which keys the changelog's newest record has to be the store's.
    Returns:
        The last offset of what was appended; -1 for nothing.
    """
    hidden: dict[bytes, bytes | None] = {}
    async for records in reader.read(BulkRead(topic, partition, start, end)):
        for record in records:
            key = record.key
            if key is not None and key not in newer and is_state(key):
                ours = store.get(key)
                # Whom we do not have was merged or erased: an older state of them must not stay behind that. And what
                # does not wait with us has been applied.
                if ours is not None or key.startswith((PROFILE, PART, WAITING, BROUGHT, NODE)):
                    hidden[key] = ours
    if not hidden:
        return -1
    _, last = await producer.append(topic, partition, list(hidden.items()))
    return last
