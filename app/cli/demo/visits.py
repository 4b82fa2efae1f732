"""What one visitor does in one visit, second by second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from app.cli.demo.catalogue import FIRST_NAMES, PAGES, PRODUCTS, SEARCHES, Product, euros

STEP_MS_MIN = 120
STEP_MS_MAX = 400
"""People are quick here: the shop's clock runs about thirty times as fast as a real one's."""
STEPS_MAX = 20
VISIT_MS_MAX = STEPS_MAX * STEP_MS_MAX


@dataclass(slots=True)
class Visitor:
    """Somebody at the shop, between visits."""

    number: int
    is_customer: bool
    """Has signed up."""
    is_signed_in: bool
    """On the device in use: messages carry the userId."""
    device: int = 1
    plan: str = "free"
    newsletter: bool = False

    @property
    def ids(self) -> dict[str, object]:
        """As SDKs send them: the device's anonymousId always, the userId once it is known there."""
        found: dict[str, object] = {"anonymousId": f"anon-{self.number:05}-{self.device}"}
        return {"userId": f"user-{self.number:05}", **found} if self.is_signed_in else found

    def take_another_device(self) -> None:
        """Nobody knows there who this is."""
        self.device += 1
        self.is_signed_in = False


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that a visitor did."""

    happened_ms: int
    """Since the demo's start."""
    body: dict[str, object]
    """The message without messageId and timestamp."""


def visit(visitor: Visitor, start_ms: int, random: Random) -> Iterator[Act]:
    """A whole visit, in order. The visitor changes with it: signs up or in, takes another plan."""
    now_ms = start_ms
    context = _context(random)
    for body in _bodies(visitor, random):
        yield Act(now_ms, {**body, **visitor.ids, "context": context})
        now_ms += random.randint(STEP_MS_MIN, STEP_MS_MAX)


def glance(number: int, at_ms: int, random: Random) -> Act:
    """Somebody looks at one page and is gone."""
    return Act(
        at_ms,
        {**_page(random), **Visitor(number, is_customer=False, is_signed_in=False).ids, "context": _context(random)},
    )


def _bodies(visitor: Visitor, random: Random) -> Iterator[dict[str, object]]:
    # A generator: the visitor's ids are read after each step, so a sign-up shows from its own message on.
    yield _page(random)
    if visitor.is_signed_in and random.random() < 0.5:
        yield _identify(visitor)
    for _ in range(random.choice((0, 1, 1, 2))):
        yield _track("Products Searched", {"query": random.choice(SEARCHES)})
    viewed = [_taste(visitor, random) for _ in range(random.choice((1, 2, 3, 3, 4, 5)))]
    for product in viewed:
        yield _track("Product Viewed", product.properties())
    if not visitor.is_customer and random.random() < 0.4:
        visitor.is_customer = visitor.is_signed_in = True
        visitor.newsletter = random.random() < 0.3
        yield _identify(visitor)
        yield _track("Signed Up", {"plan": visitor.plan, "method": "email"})
    elif not visitor.is_signed_in and visitor.is_customer:
        visitor.is_signed_in = True
        yield _identify(visitor)
        yield _track("Signed In", {"method": "email"})
    yield from _shopping(viewed, visitor, random)
    if visitor.is_customer and random.random() < 0.35:
        visitor.plan = "pro" if visitor.plan == "free" or random.random() < 0.3 else "free"
        visitor.newsletter = visitor.newsletter != (random.random() < 0.3)
        yield _identify(visitor)


def _shopping(viewed: list[Product], visitor: Visitor, random: Random) -> Iterator[dict[str, object]]:
    cart = random.sample(viewed, min(len(viewed), random.choice((0, 0, 1, 2, 3))))
    for product in cart:
        yield _track("Product Added", product.properties() | {"quantity": 1})
    if not cart or not visitor.is_customer or random.random() < 0.35:
        return
    total = euros(sum(product.price_cents for product in cart))
    yield _track("Checkout Started", {"value": total, "currency": "EUR"})
    yield _track(
        "Order Completed",
        {
            "order_id": f"order-{random.getrandbits(40):010x}",
            # One client in ten sends its money as text: sums take what spells a number.
            "revenue": str(total) if random.random() < 0.1 else total,
            "currency": "EUR",
            "products": [product.properties() | {"quantity": 1} for product in cart],
        },
    )


def _taste(visitor: Visitor, random: Random) -> Product:
    """Every third visitor has come for shoes."""
    if visitor.number % 3 == 0 and random.random() < 0.6:
        return random.choice([product for product in PRODUCTS if product.category == "shoes"])
    return random.choice(PRODUCTS)


def _identify(visitor: Visitor) -> dict[str, object]:
    name = FIRST_NAMES[visitor.number % len(FIRST_NAMES)]
    traits = {
        "email": f"{name.lower()}.{visitor.number}@shop.example",
        "name": name,
        "plan": visitor.plan,
        "newsletter": visitor.newsletter,
    }
    return {"type": "identify", "traits": traits}


def _track(event: str, properties: dict[str, object]) -> dict[str, object]:
    return {"type": "track", "event": event, "properties": properties}


def _page(random: Random) -> dict[str, object]:
    name, path = random.choice(PAGES)
    return {"type": "page", "name": name, "properties": {"path": path, "title": f"{name} – Demo shop"}}


def _context(random: Random) -> dict[str, object]:
    found: dict[str, object] = {"library": {"name": "headwater-demo", "version": "1"}, "locale": "en-GB"}
    if random.random() < 0.15:
        found["campaign"] = {"source": "newsletter", "medium": "email", "name": "spring"}
    return found
