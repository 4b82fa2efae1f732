"""What the shop's stream must cause: the demo's own book-keeping, one plain sum per definition.

It knows neither the language nor the engine. It plays each person's messages in order of sending, as if each arrived
the moment it was sent; between them it stops at every instant at which one of the short windows loses an event. At
each stop it writes down what has become different.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from app.cli.demo.sample import AUDIENCES, CART_WINDOW_MS, PRESENT_WINDOW_MS, SAMPLES
from app.cli.demo.shop import Sent

Answer = bool | int | float
Truth = Mapping[str, Mapping[str, Sequence["Flip"]]]
"""Who → definition's key → its changes in order; those without changes are not there."""
_OPEN_TO_ANONYMOUS = {sample.key for sample in SAMPLES if sample.include_anonymous_users}
_SHOES_CENTS_MIN = 8_000
_SPENT_CENTS_MIN = 30_000


@dataclass(frozen=True, slots=True)
class Flip:
    """One change that must happen."""

    at_ms: int
    """Ms since the demo's start, were there no delays at all."""
    value: Answer
    """True for entered, False for exited, or the trait's new value."""
    by_time: bool
    """No message did it."""


@dataclass(slots=True)
class _Person:
    """What one person's messages come to, so far."""

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
                # A message that comes late does not undo what was told after it.
                if key not in self.told or self.told[key][0] <= sent.happened_ms:
                    self.told[key] = (sent.happened_ms, value)

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


def truth_of(sent: Iterable[Sent]) -> Truth:
    """Every change that the messages, given in order of sending, must cause, up to when all short windows are empty."""
    by_person: dict[str, list[Sent]] = defaultdict(list)
    for each in sent:
        by_person[each.who].append(each)
    found = {who: _changes(who, messages) for who, messages in by_person.items()}
    return {who: changes for who, changes in found.items() if changes}


def finals_of(truth: Truth) -> dict[str, dict[str, Answer]]:
    """The last value of everything that ever changed; every other audience is empty of that person."""
    return {who: {key: flips[-1].value for key, flips in changes.items()} for who, changes in truth.items()}


def _changes(who: str, messages: Sequence[Sent]) -> dict[str, list[Flip]]:
    person = _Person()
    last: dict[str, Answer] = {}
    flips: dict[str, list[Flip]] = {}

    def look(now_ms: int, *, by_time: bool) -> None:
        for key, value in person.answers(now_ms).items():
            if key in AUDIENCES and who.startswith("anonymous_id:") and key not in _OPEN_TO_ANONYMOUS:
                continue
            # Nobody is a member, and no count has a value, before the first change: False and 0 are no news then.
            if value != last.get(key, 0):
                last[key] = value
                flips.setdefault(key, []).append(Flip(now_ms, value, by_time))

    def pass_time(after_ms: int, until_ms: int) -> None:
        for end_ms in sorted({end_ms for end_ms in person.ends_ms() if after_ms < end_ms <= until_ms}):
            look(end_ms, by_time=True)

    before_ms = -1
    for each in messages:
        pass_time(before_ms, each.at_ms)
        person.take(each)
        look(each.at_ms, by_time=False)
        before_ms = each.at_ms
    pass_time(before_ms, max(person.ends_ms(), default=before_ms))
    return flips


def _cents(amount: object) -> int:
    return round(float(cast("str | float", amount)) * 100)


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value)
