"""What the messages of one profile come to: one plain sum per definition of the sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from app.cli.demo.sample import CART_WINDOW_MS, PRESENT_WINDOW_MS
from app.cli.demo.shop import Sent

Answer = bool | int | float
_SHOES_CENTS_MIN = 8_000
_SPENT_CENTS_MIN = 30_000


@dataclass(slots=True)
class Person:
    """So far."""

    seen: set[str] = field(default_factory=set)
    viewed_ms: list[int] = field(default_factory=list)
    added_ms: list[int] = field(default_factory=list)
    ordered_ms: list[int] = field(default_factory=list)
    good_shoes_count: int = 0
    spent_cents: int = 0
    searches_count: int = 0
    came_by_newsletter: bool = False
    told: dict[str, tuple[int, object]] = field(default_factory=dict)
    """Trait → when it was told, what."""

    def take(self, sent: Sent) -> None:
        """One message; it counts once, however often it comes."""
        message_id = str(sent.message["messageId"])
        if message_id in self.seen:
            return
        self.seen.add(message_id)
        match sent.message.get("event"):
            case "Product Viewed":
                self.viewed_ms.append(sent.happened_ms)
                details = _mapping(sent.message["properties"])
                is_good = details["category"] == "shoes" and _cents(details["price"]) >= _SHOES_CENTS_MIN
                self.good_shoes_count += is_good
            case "Product Added":
                self.added_ms.append(sent.happened_ms)
            case "Order Completed":
                self.ordered_ms.append(sent.happened_ms)
                self.spent_cents += _cents(_mapping(sent.message["properties"])["revenue"])
            case "Products Searched":
                self.searches_count += 1
                campaign = _mapping(sent.message["context"]).get("campaign")
                self.came_by_newsletter |= campaign is not None and _mapping(campaign)["source"] == "newsletter"
        if sent.message["type"] == "identify":
            for key, value in _mapping(sent.message["traits"]).items():
                self._write(key, sent.happened_ms, value)

    def absorb(self, other: Person) -> None:
        """All that has been another's is this one's too; they have no message in common."""
        self.seen |= other.seen
        self.viewed_ms += other.viewed_ms
        self.added_ms += other.added_ms
        self.ordered_ms += other.ordered_ms
        self.good_shoes_count += other.good_shoes_count
        self.spent_cents += other.spent_cents
        self.searches_count += other.searches_count
        self.came_by_newsletter |= other.came_by_newsletter
        for key, (at_ms, value) in other.told.items():
            self._write(key, at_ms, value)

    def answers(self, now_ms: int) -> dict[str, Answer]:
        """Every definition's value now. A definition that reads others stands after them."""
        viewed = sum(now_ms < at_ms + PRESENT_WINDOW_MS for at_ms in self.viewed_ms)
        in_cart = sum(now_ms < at_ms + CART_WINDOW_MS for at_ms in self.added_ms)
        bought = sum(now_ms < at_ms + CART_WINDOW_MS for at_ms in self.ordered_ms)
        big = self.spent_cents >= _SPENT_CENTS_MIN
        vip = big and self._told("plan") == "pro"
        found: dict[str, Answer] = {
            "looking_around": viewed >= 3,
            "cart_waiting": in_cart >= 1 and not bought >= 1,
            "shoe_fans": self.good_shoes_count >= 2,
            "big_spenders": big,
            "vip": vip,
            "loyal": len(self.ordered_ms) >= 2 and not vip,
            "newsletter_warm": self._told("newsletter") is True or self.came_by_newsletter,
            "orders_total": len(self.ordered_ms),
            "searches_total": self.searches_count,
            "cart_activity": in_cart,
        }
        if self.ordered_ms:
            found["revenue_total"] = self.spent_cents / 100
        return found

    def ends_ms(self) -> Iterable[int]:
        """When the events of the short windows leave them."""
        yield from (at_ms + PRESENT_WINDOW_MS for at_ms in self.viewed_ms)
        yield from (at_ms + CART_WINDOW_MS for at_ms in (*self.added_ms, *self.ordered_ms))

    def _told(self, key: str) -> object:
        return self.told[key][1] if key in self.told else None

    def _write(self, key: str, at_ms: int, value: object) -> None:
        # A message that comes late does not undo what was told after it.
        if key not in self.told or self.told[key][0] <= at_ms:
            self.told[key] = (at_ms, value)


def _cents(amount: object) -> int:
    return round(float(cast("str | float", amount)) * 100)


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value)
