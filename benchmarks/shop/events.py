"""Seeded visits to a shop: pages, products, carts, orders, refunds, identifies, in the order of their time."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeAlias

import orjson

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Message: TypeAlias = dict[str, Json]

OPENED_AT = datetime(2025, 11, 3, tzinfo=UTC)
"""In the past for whoever runs this: an engine takes an event from the future for one of now."""
OPEN_FOR = timedelta(days=12)
EVENTS_PER_VISIT = 7.8
EVENTS_PER_USER = 18
SECOND_MS, DAY_MS = 1_000, 86_400_000

CATEGORIES = ("Garden Tools", "Kitchen", "Running Shoes", "Board Games", "Headphones", "Books")
TAGS: tuple[list[str], ...] = (["sale"], ["new"], ["sale", "new"], ["flash sale"], ["flash sale", "organic"], [])
PAGES = (("Home", None), ("Landing Autumn", "campaign"), ("Category", "catalogue"), ("Product", "catalogue"))
SCREENS = ("Home", "Help", "Product", "Account")
REFERRERS = ("https://www.google.com/", "https://www.bing.com/", "https://duckduckgo.com/", "")
CAMPAIGNS = (None, None, "autumn", "newsletter-44")
COUNTRIES = ("DE", "AT", "FR", "NL", "US", "CA")
QUERIES = ("trail shoes", "hoe", "chess", "wok", "earbuds", "novel", "gift")
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IDENTIFY_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a user; `value` is its JSON, about 600 bytes, whose `timestamp` is `at_ms`."""

    user: str
    at_ms: int
    value: bytes


@dataclass(slots=True)
class _Customer:
    """What a visitor brings along from visit to visit."""

    user: str
    free_at_ms: int = 0
    known: bool = False
    carts: int = 0
    cart: list[Message] = field(default_factory=list)


def events(seed: int, count: int) -> Iterator[Event]:
    """So many events of twelve days; of a customer for every 18 events, unequally busy.

    Times rise: strictly for each user's own visit, so that nothing is left to a tie.
    """
    shop = _Shop(Random(seed), max(20, count // EVENTS_PER_USER))
    apart_ms = OPEN_FOR / timedelta(milliseconds=1) * EVENTS_PER_VISIT / count
    next_visit_ms = OPENED_AT.timestamp() * 1_000
    for number in range(count):
        while not shop.agenda or shop.agenda[0][0] >= next_visit_ms:
            shop.visit(int(next_visit_ms))
            next_visit_ms += apart_ms * shop.random.uniform(0.5, 1.5)
        at_ms, _, user, message = heapq.heappop(shop.agenda)
        at = datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        known: Message = {"messageId": f"shop-{seed}-{number:010d}", "userId": user, "timestamp": at}
        yield Event(user, at_ms, orjson.dumps(message | known))


class _Shop:
    """Visits, planned as a whole when they begin."""

    def __init__(self, random: Random, customers: int) -> None:
        self.random = random
        self.agenda: list[tuple[int, int, str, Message]] = []
        """A heap of (time, serial, user, message)."""
        self._customers = [_Customer(f"user-{number:06d}") for number in range(customers)]
        self._serial = 0
        self._orders = 0

    def visit(self, at_ms: int) -> None:
        """Plan the visit of a customer who is not in the shop just now."""
        random = self.random
        customer = self._customers[int(len(self._customers) * random.random() ** 1.5)]
        if customer.free_at_ms > at_ms:
            return
        visit = _Visit(self, customer, at_ms)
        if customer.cart and random.random() < 0.25:
            customer.cart, customer.carts = [], customer.carts + 1  # left behind
        if not customer.known or random.random() < IDENTIFY_SHARE:
            customer.known = True
            visit.identify()
        for _ in range(2 + int(random.expovariate(0.2))):
            visit.look_around()
        if customer.cart and random.random() < 0.55:
            visit.check_out()
        customer.free_at_ms = visit.at_ms + SECOND_MS

    def add(self, at_ms: int, customer: _Customer, message: Message) -> None:
        self._serial += 1
        heapq.heappush(self.agenda, (at_ms, self._serial, customer.user, message))

    def order_id(self) -> str:
        self._orders += 1
        return f"order-{self._orders:08d}"


class _Visit:
    """One customer in the shop; `at_ms` moves on with what they do."""

    def __init__(self, shop: _Shop, customer: _Customer, at_ms: int) -> None:
        self.at_ms = at_ms
        self._shop = shop
        self._random = shop.random
        self._customer = customer
        self._source = shop.random.choices(("web", "app", "pos"), (6, 3, 1))[0]
        self._viewed: Message | None = None
        context: Message = {
            "ip": f"203.0.113.{shop.random.randrange(256)}",
            "userAgent": USER_AGENT,
            "library": {"name": "analytics.js", "version": "2.11.1"},
            "page": {"referrer": shop.random.choice(REFERRERS), "url": "https://shop.example/catalogue/all"},
        }
        campaign = shop.random.choice(CAMPAIGNS)
        if campaign is not None:
            context["campaign"] = {"name": campaign}
        self._context = context

    def identify(self) -> None:
        random, user = self._random, self._customer.user
        number = int(user.removeprefix("user-"))
        traits: Message = {
            "email": f"{user}@{('mail.example', 'shop.example', 'mail.test')[number % 3]}",
            "plan": random.choice(("free", "pro", "enterprise", "trial")),
            "budget": random.choice((150, 400, 900, None)),
            "address": {"country": COUNTRIES[number % len(COUNTRIES)]},
            "signed_up": _day(OPENED_AT + timedelta(days=number % 110 - 100)),
            "renewal": _day(OPENED_AT + timedelta(days=random.randrange(-5, 40))),
        }
        if number % 4 == 0:
            traits["company"] = {"size": 10 * (number % 9)}
        self._say({"type": "identify", "traits": traits})

    def look_around(self) -> None:
        random = self._random
        what = random.choices(("page", "product", "search", "add", "cart"), (34, 34, 10, 15, 7))[0]
        if what == "page":
            self._page()
        elif what == "product":
            self._view()
        elif what == "search":
            self._track("Products Searched", {"query": random.choice(QUERIES), "results": random.randrange(90)})
        elif what == "add":
            self._add()
        else:
            self._track("Cart Viewed", {"cart_id": self._cart_id(), "items": len(self._customer.cart)})

    def check_out(self) -> None:
        """Begin to pay; most do, at once or days later; some of those give the goods back."""
        random, customer, order_id = self._random, self._customer, self._shop.order_id()
        self._track("Checkout Started", {"order_id": order_id, "cart_id": self._cart_id()})
        if random.random() < 0.3:
            return
        paid_at_ms = self.at_ms + random.randrange(10 * SECOND_MS, 300 * SECOND_MS)
        if random.random() < 0.2:
            paid_at_ms += random.randrange(2 * DAY_MS)
        products, customer.cart = customer.cart, []
        total = round(sum(float(str(each["price"])) * int(str(each["quantity"])) for each in products), 2)
        about: Message = {
            "order_id": order_id,
            "cart_id": self._cart_id(),
            "total": total,
            "currency": "EUR",
            "delivery": _day(datetime.fromtimestamp(paid_at_ms / 1_000, UTC) + timedelta(days=random.randrange(1, 9))),
            "payment": {"method": random.choice(("card", "invoice", "wallet"))},
            "products": list(products),
        }
        if random.random() < 0.4:
            about["coupon"] = random.choice(("STEPS", "WELCOME"))
        self._shop.add(paid_at_ms, customer, self._tracked("Order Completed", about))
        customer.carts += 1
        if random.random() < 0.3:
            back = total if random.random() < 0.7 else round(total / 2, 2)
            back_at_ms = paid_at_ms + random.randrange(DAY_MS // 2, 5 * DAY_MS)
            refund: Message = {"order_id": order_id, "amount": back}
            self._shop.add(back_at_ms, customer, self._tracked("Order Refunded", refund))

    def _page(self) -> None:
        random = self._random
        if self._source == "app":
            self._say({"type": "screen", "name": random.choice(SCREENS), "properties": {"build": 417}})
            return
        name, category = random.choice(PAGES)
        properties: Message = {"path": f"/{name.lower().replace(' ', '-')}", "title": f"{name} - the shop"}
        if "campaign" in self._context and random.random() < 0.5:
            properties["utm.source"] = random.choice(("mail", "ads", "partner"))
        page: Message = {"type": "page", "name": name, "properties": properties}
        self._say(page if category is None else page | {"category": category})

    def _view(self) -> None:
        random = self._random
        number = int(400 * random.random() ** 2)
        product: Message = {
            "product_id": f"sku-{number:05d}",
            "category": CATEGORIES[number % len(CATEGORIES)],
            "price": number % 120 + 0.95,
        }
        tags = TAGS[number % 7] if number % 7 < len(TAGS) else []
        self._viewed = product
        rating = 5 if number % 19 == 0 else 2 + number % 5 / 2
        viewed = product | {"currency": "EUR", "rating": f"{rating}"}
        self._track("Product Viewed", viewed | {"tags": list(tags)} if tags else viewed)

    def _add(self) -> None:
        if self._viewed is None:
            self._view()
        assert self._viewed is not None
        quantity: Message = {"quantity": self._random.choices((1, 2, 3), (4, 2, 4))[0]}
        self._track("Product Added", self._viewed | quantity | {"cart_id": self._cart_id()})
        product = {key: value for key, value in self._viewed.items() if key != "product_id"}
        self._customer.cart.append({"sku": self._viewed["product_id"]} | product | quantity)

    def _cart_id(self) -> str:
        return f"cart-{self._customer.user}-{self._customer.carts}"

    def _track(self, name: str, properties: Message) -> None:
        self._say(self._tracked(name, properties))

    def _tracked(self, name: str, properties: Message) -> Message:
        message: Message = {"type": "track", "event": name, "properties": properties}
        return message | self._origin()

    def _origin(self) -> Message:
        return {"sourceId": self._source, "context": self._context}

    def _say(self, message: Message) -> None:
        """The next thing that the customer does: seconds later as a rule, now and then after a long pause."""
        random = self._random
        mean_s = 5_000 if random.random() < 0.04 else 70
        self.at_ms += 250 + int(random.expovariate(1 / mean_s) * SECOND_MS)
        self._shop.add(self.at_ms, self._customer, message | self._origin())


def _day(at: datetime) -> str:
    return at.date().isoformat()
