"""What an engine said, held against the truth."""

from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType

import orjson

from benchmarks.events import Truth


def read_order(value: bytes) -> tuple[str, int]:
    """User id and running count of one output record: an identify, bare or as the `payload` of a delivery."""
    record = orjson.loads(value)
    identify = record.get("payload", record)
    return identify["userId"], identify["traits"]["orders"]


NOTHING: Mapping[str, int] = MappingProxyType({})


async def faults(values: AsyncIterator[bytes], truth: Truth, before: Mapping[str, int] = NOTHING) -> str:
    """What is wrong with an output topic, in words; empty where all is right.

    Right is: one record for each order, each user's counts rise by one, and the last one is the true count.

    Args:
        before: User id → orders that were counted already, where the engine did not start from nothing.
    """
    records = 0
    last = dict(before)
    jumps = 0
    async for value in values:
        user, count = read_order(value)
        records += 1
        jumps += count != last.get(user, 0) + 1
        last[user] = count
    wrong = sum(last.get(user, 0) != before.get(user, 0) + count for user, count in truth.orders.items())
    found = []
    if records != truth.outputs:
        found.append(f"{records:,} records instead of {truth.outputs:,}")
    if wrong:
        found.append(f"{wrong:,} users with a wrong last count")
    if jumps:
        found.append(f"{jumps:,} counts out of turn")
    return ", ".join(found)
