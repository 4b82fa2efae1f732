"""Seeded events of a shop, and the truth about them."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import orjson

ORDER = "Order Completed"
USERS = 20_000
PARTITIONS = 4

# Shares in percent. Orders are more frequent than in a real shop, so that 30 s at 1,000 events/s give 3,000 latencies.
NAMES = (
    ("Product Viewed", 36),
    ("Product List Viewed", 20),
    ("Products Searched", 12),
    ("Product Added", 12),
    ("Cart Viewed", 10),
    (ORDER, 10),
)
CATEGORIES = ("Garden Tools", "Kitchen", "Running Shoes", "Board Games", "Headphones", "Books")
LOCALES = ("de-DE", "en-GB", "en-US", "fr-FR", "nl-NL")
REFERRERS = ("https://www.google.com/", "https://www.bing.com/", "https://duckduckgo.com/", "")
USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
)
FIRST_EVENT_AT = datetime(2026, 1, 1, tzinfo=UTC)
BETWEEN_EVENTS = timedelta(milliseconds=10)


@dataclass(slots=True)
class Truth:
    """What a correct engine must have said after a stream of events."""

    events: int = 0
    orders: Counter[str] = field(default_factory=Counter)
    """User id → completed orders: the running count of that user's last output record."""

    @property
    def outputs(self) -> int:
        """Records on the output topic: one for each completed order."""
        return self.orders.total()

    def add(self, user: str, name: str) -> None:
        self.events += 1
        if name == ORDER:
            self.orders[user] += 1


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `value` is its JSON, about 600 bytes."""

    user: str
    name: str
    value: bytes


def user_id(number: int) -> str:
    return f"user-{number:06d}"


def scheduled(number: int) -> datetime:
    """When event `number` says that it happened."""
    return FIRST_EVENT_AT + number * BETWEEN_EVENTS


def events(seed: int, count: int, *, clock: Callable[[int], datetime] = scheduled) -> Iterator[Event]:
    """The first `count` events of a seed; a longer stream begins with a shorter one's events.

    Users are not equally busy: the chance of a number falls with its rank (exponent 1.5), as in a real shop.

    Args:
        clock: Asked for each event's timestamp when the event is drawn, so that a live stream can carry the true time.
    """
    random = Random(seed)
    names = [name for name, _ in NAMES]
    weights = [weight for _, weight in NAMES]
    for number in range(count):
        user = user_id(int(USERS * random.random() ** 1.5))
        name = random.choices(names, weights)[0]
        yield Event(user, name, encode(random, seed, number, user, name, clock(number)))


def encode(random: Random, seed: int, number: int, user: str, name: str, at: datetime) -> bytes:
    """One message of Segment's spec, with the fields that its browser library sends."""
    product = random.randrange(5_000)
    category = CATEGORIES[product % len(CATEGORIES)]
    properties: dict[str, str | int | float] = {
        "product_id": f"sku-{product:05d}",
        "category": category,
        "price": product % 300 + 0.95,
        "currency": "EUR",
        "quantity": 1 + product % 3,
    }
    if name == ORDER:
        properties |= {"order_id": f"order-{number:08d}", "total": product % 900 + 4.9}
    path = f"/shop/{category.lower().replace(' ', '-')}/{product}"
    message = {
        "type": "track",
        "messageId": f"bench-{seed}-{number:010d}",
        "userId": user,
        "event": name,
        "properties": properties,
        "context": {
            "ip": f"203.0.113.{random.randrange(256)}",
            "locale": LOCALES[product % len(LOCALES)],
            "userAgent": USER_AGENTS[product % len(USER_AGENTS)],
            "page": {
                "path": path,
                "referrer": REFERRERS[product % len(REFERRERS)],
                "url": f"https://shop.example{path}",
            },
            "library": {"name": "analytics.js", "version": "2.11.1"},
        },
        "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return orjson.dumps(message)


def profiles(seed: int, count: int) -> Iterator[tuple[str, dict[str, int]]]:
    """User id and counts by event name, as the restore job finds them in the changelog; all names are present."""
    random = Random(seed)
    for number in range(count):
        yield user_id(number), {name: 1 + random.randrange(40) for name, _ in NAMES}
