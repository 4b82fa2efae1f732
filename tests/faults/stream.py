"""The crash test's definitions, and a seeded stream of events for them: bursts, repeats, disorder and garbage."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from app.activation.wire import iso
from app.topics import partition_of

DESTINATION = "hook"
WINDOW_MS_MAX = 6_000
"""The longest window that runs out within a run; the day's does not, and keeps timers armed to the end."""

AUDIENCES = {
    "browsing": "event('Viewed').within(3 seconds).count() >= 2",
    "waiting": "event('Added').within(6 seconds).count() >= 1 AND NOT event('Ordered').within(6 seconds).count() >= 1",
    "shoe_fan": "event('Viewed').where(property('category') = 'shoes' AND property('price') >= 50).count() >= 2",
    "spender": "event('Ordered').within(1 day).sum(property('revenue')) >= 100",
    "pro_spender": "trait('spender') = true AND trait('plan') = 'pro'",
    "left": "trait('orders') >= 1 AND NOT trait('browsing') = true",
}
TRAITS = {
    "orders": "event('Ordered').count()",
    "revenue_now": "event('Ordered').within(6 seconds).sum(property('revenue'))",
}
CALLS = {"browsing": ("identify", "track"), "pro_spender": ("track",)}
"""Of the others, identify."""

GARBAGE = (
    b"{", b"", b"null", b"[1,2]", b"\xff\xfe\x00", b'{"type":"track"}', b'{"type":"track","event":"E"}', b"NaN",
    b'{"type":"buy","userId":"u"}', b'{"type":"track","event":"E","userId":{}}', b"[" * 100_000,
    b'{"type":"track","event":"E","userId":"u","properties":[]}', b'{"type":"identify","userId":"\\ud800","traits":1}',
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sent:
    """One record for `events.raw`."""

    partition: int
    key: bytes | None
    value: bytes | None
    is_valid: bool


def configuration(topic_prefix: str, brokers: str, partitions: int) -> dict[str, Any]:
    """The configuration file's document."""
    kinds = (("audience", AUDIENCES), ("trait", TRAITS))
    connect = [{kind: key, "calls": list(CALLS.get(key, ("identify",)))} for kind, queries in kinds for key in queries]
    return {
        "kafka": {"brokers": brokers, "topic_prefix": topic_prefix, "partitions": partitions},
        "audiences": [{"key": key, "query": query} for key, query in AUDIENCES.items()],
        "traits": [{"key": key, "query": query} for key, query in TRAITS.items()],
        "destinations": [{"name": DESTINATION, "type": "kafka", "connect": connect}],
    }


def events(seed: int, count: int, partitions: int, now_ms: Iterator[int]) -> Iterator[Sent]:
    """Records one after the other, each made when it is asked for.

    People come in bursts of some ten events, so that windows of seconds fill and run out; some come back. One
    person's records are all in one partition, as a producer that keys them keeps them.

    Args:
        now_ms: The clock: timestamps are of the moment, or up to three seconds before it.
    """
    random = Random(seed)
    active = [f"u{number}" for number in range(max(20, count // 80))]
    made = len(active)
    recent: deque[Sent] = deque(maxlen=500)
    for number in range(count):
        chance = random.random()
        if chance < 0.002:
            value = random.choice((*GARBAGE, None))
            yield Sent(random.randrange(partitions), None, value, is_valid=False)
            continue
        if chance < 0.05 and recent:
            yield random.choice(recent)
            continue
        place = random.randrange(len(active))
        if random.random() < 0.1:
            active[place] = f"u{made}" if random.random() < 0.8 else f"u{random.randrange(made)}"
            made += 1
        user = active[place]
        message = _message(random, user, number, next(now_ms))
        key = user.encode()
        sent = Sent(partition_of(key, partitions), key, orjson.dumps(message), is_valid=True)
        if "messageId" in message:
            recent.append(sent)
        yield sent


def _message(random: Random, user: str, number: int, now_ms: int) -> dict[str, Any]:
    message: dict[str, Any] = {"userId": user}
    if random.random() < 0.98:
        message["messageId"] = f"m{number}"
    if random.random() < 0.9:
        late_ms = random.randrange(3_000) if random.random() < 0.15 else random.randrange(20)
        message["timestamp"] = iso(now_ms - late_ms)
    kind = random.random()
    if kind < 0.1:
        traits = {"plan": random.choice(("free", "pro", "pro", None)), "age": random.randrange(90)}
        return message | {"type": "identify", "traits": traits}
    name = "Viewed" if kind < 0.6 else "Added" if kind < 0.8 else "Ordered" if kind < 0.95 else "Searched"
    properties = {
        "Viewed": {"category": random.choice(("shoes", "shirts")), "price": random.choice((20, 50, 80.5, "60"))},
        "Added": {"sku": f"s{random.randrange(50)}"},
        "Ordered": {"revenue": random.choice((10, 25.5, 60))},
        "Searched": {"query": "boots"},
    }[name]
    return message | {"type": "track", "event": name, "properties": properties}
