"""The shop job's 30 definitions by hand: one customer's state, and what an event makes of it. Plain Python.

It relies on what the job's stream promises and Headwater does not need: events in the order of their time, none twice.
So a window forgets from its front, and of many events only those that can still decide an answer are kept. State is
JSON, for the state store. `benchmarks/peers/KafkaStreamsShop.java` is the same in Java.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
State = dict[str, Any]
Json = Any

AUDIENCES = (
    "browsing", "engaged_visit", "lapsed", "online_viewer", "needs_help", "cart_abandoned", "added_what_they_saw",
    "paid_baskets", "gives_back", "renews_soon", "new_without_order", "long_standing", "delivery_due", "business",
    "from_search_ads", "bargain_hunter", "shoe_people", "big_baskets", "buys_while_browsing", "vip",
)  # fmt: skip
TRAITS = (
    "orders", "revenue", "average_order", "dearest_view", "lowest_sku", "favourite_category", "first_campaign",
    "last_search", "categories_bought", "products_seen",
)  # fmt: skip
KEYS = AUDIENCES + TRAITS
"""Values stand in this order in `State["said"]` and in what `answers` gives."""
COUNTS = ("orders", "products_seen")


def unsaid() -> list[Json]:
    """What holds of each definition before its first change."""
    return [False] * len(AUDIENCES) + [0 if key in COUNTS else None for key in TRAITS]


def new_state() -> State:
    return {
        "said": unsaid(), "traits": {}, "business": False, "views": [], "online_views": [], "dear": [], "rated": 0,
        "seen": {}, "categories": {}, "favourite": None, "greatest": "", "tags": {}, "bargains": 0, "bargain": False,
        "unadded": [], "added": [], "visit": [0, 0], "landed": 0, "campaign": None, "helped": [], "search": None,
        "open_adds": [], "unpaid": [], "paid": [], "checkouts": [], "quantities": {}, "big": False, "orders": 0,
        "spent": 0.0, "average": None, "least": None, "sku": None, "paid_orders": [], "shoes": [], "ordered": [],
        "bought": {}, "due": [], "unreturned": [], "returned": 0, "over_budget": False, "browsed": False,
    }  # fmt: skip


def step(state: State, message: dict[str, Any], now: int) -> list[tuple[str, Json]]:
    """Take one event in, and give what has changed: (definition, value). `now`: the event's time, ms."""
    kind = message["type"]
    name = message["event"] if kind == "track" else kind
    forget(state, now)
    handler = HANDLERS.get(name)
    if handler is not None:
        handler(state, message, now)
    said, values = state["said"], answers(state, now)
    if values == said:
        return []
    state["said"] = values
    return [(key, value) for key, value, before in zip(KEYS, values, said, strict=True) if value != before]


# ─ what an event does ─


def on_identify(state: State, message: dict[str, Any], now: int) -> None:
    traits = message["traits"]
    state["traits"].update(traits)
    for key in ("renewal", "signed_up"):
        if key in traits:
            state["traits"][key] = instant(traits[key])
    state["business"] = is_business(state["traits"])


def on_page(state: State, message: dict[str, Any], now: int) -> None:
    visit = state["visit"]
    visit[1] = visit[1] + 1 if now - visit[0] < 30 * MINUTE else 1
    visit[0] = now
    context, category = message["context"], message.get("category")
    referrer = context["page"]["referrer"]
    if (
        ("google" in referrer or "bing" in referrer)
        and "campaign" in context
        and message["name"].startswith("Landing")
        and category is not None
        and category != "help"
    ):
        state["landed"] = now
    if state["campaign"] is None:
        state["campaign"] = message["properties"].get("utm.source")


def on_screen(state: State, message: dict[str, Any], now: int) -> None:
    if message["name"] == "Help":
        state["helped"].append(now)


def on_search(state: State, message: dict[str, Any], now: int) -> None:
    state["search"] = [now, message["properties"]["query"]]


def on_view(state: State, message: dict[str, Any], now: int) -> None:
    properties = message["properties"]
    product, price, tags = properties["product_id"], properties["price"], properties.get("tags")
    keep_newest(state["views"], now, 4)
    if message["sourceId"] not in ("pos", "import"):
        keep_newest(state["online_views"], now, 8)
    if float(properties["rating"]) >= 4.5:
        state["rated"] = now
    dear = state["dear"]
    while dear and dear[-1][1] <= price:
        dear.pop()
    dear.append([now, price])
    seen = state["seen"]
    seen.pop(product, None)  # so that the first ones are the oldest
    seen[product] = now
    state["favourite"] = counted_mode(state["categories"], properties["category"], 3)
    state["greatest"] = max(state["greatest"], properties["category"])
    state["unadded"].append([now, product])
    if tags is not None:
        often = counted_mode(state["tags"], '["' + '","'.join(tags) + '"]', 3)
        if any("sale" in tag for tag in tags) and not any("new" in tag for tag in tags) and price <= 40:
            state["bargains"] += 1
        state["bargain"] = state["bargains"] >= 5 or often == '["sale"]'


def on_add(state: State, message: dict[str, Any], now: int) -> None:
    properties = message["properties"]
    product = properties["product_id"]
    state["big"] = counted_mode(state["quantities"], str(properties["quantity"]), 3) == "3"
    state["open_adds"].append(now)
    state["unpaid"].append([now, properties["cart_id"]])
    waiting = []
    for view in state["unadded"]:
        if view[1] == product and view[0] < now:
            keep_newest(state["added"], view[0], 2)
        else:
            waiting.append(view)
    state["unadded"] = waiting


def on_checkout(state: State, message: dict[str, Any], now: int) -> None:
    properties = message["properties"]
    state["checkouts"].append([now, properties["order_id"], properties["cart_id"]])


def on_order(state: State, message: dict[str, Any], now: int) -> None:
    properties = message["properties"]
    total, products, budget = properties["total"], properties["products"], state["traits"].get("budget")
    coupon, order_id = properties.get("coupon"), properties["order_id"]
    if state["orders"] >= 1 and is_browsing(state, now):
        state["browsed"] = True
    if budget is not None and total > budget:
        state["over_budget"] = True
    state["orders"] += 1
    state["spent"] += total
    state["average"] = rounded(state["spent"] / state["orders"])
    state["least"] = total if state["least"] is None else min(state["least"], total)
    lowest = min(product["sku"] for product in products)
    state["sku"] = lowest if state["sku"] is None else min(state["sku"], lowest)
    state["paid_orders"].append([now, total])
    state["ordered"].append(now)
    state["unreturned"].append([now, order_id, total])
    categories = {product["category"] for product in products}
    state["bought"].update(dict.fromkeys(categories, now))
    if "Running Shoes" in categories and (coupon is None or coupon == "STEPS"):
        state["shoes"].append([now, total])
    if properties["payment"]["method"] != "invoice":
        state["due"].append(instant(properties["delivery"]))
    state["open_adds"] = [at for at in state["open_adds"] if at >= now or now > at + 2 * HOUR]
    paid_for(state, order_id, now)


def paid_for(state: State, order_id: str, now: int) -> None:
    """Of the products added, those whose checkout has now been paid for."""
    checkouts = [each for each in state["checkouts"] if each[1] == order_id and each[0] < now]
    for checked_out, _, cart_id in checkouts:
        unpaid = []
        for add in state["unpaid"]:
            if add[1] == cart_id and add[0] < checked_out <= add[0] + 2 * DAY:
                keep_newest(state["paid"], add[0], 3)
            else:
                unpaid.append(add)
        state["unpaid"] = unpaid


def on_refund(state: State, message: dict[str, Any], now: int) -> None:
    properties = message["properties"]
    order_id, amount = properties["order_id"], properties["amount"]
    kept = []
    for order in state["unreturned"]:
        if order[1] == order_id and order[0] < now and amount >= order[2]:
            state["returned"] = max(state["returned"], order[0])
        else:
            kept.append(order)
    state["unreturned"] = kept


HANDLERS: dict[str, Callable[[State, dict[str, Any], int], None]] = {
    "identify": on_identify,
    "page": on_page,
    "screen": on_screen,
    "Products Searched": on_search,
    "Product Viewed": on_view,
    "Product Added": on_add,
    "Checkout Started": on_checkout,
    "Order Completed": on_order,
    "Order Refunded": on_refund,
}


# ─ what time does ─


TIMES = (("helped", DAY), ("ordered", DAY), ("open_adds", 3 * DAY))
FACTS = (
    ("dear", 2 * DAY), ("unadded", HOUR + 1), ("unpaid", 3 * DAY + 1), ("checkouts", DAY + 1),
    ("paid_orders", 7 * DAY), ("shoes", 8 * DAY), ("unreturned", 5 * DAY),
)  # fmt: skip


def forget(state: State, now: int) -> None:
    """What no answer can need any more; each list is in the order of time."""
    for key, length in TIMES:
        times = state[key]
        if times and times[0] <= now - length:
            state[key] = [at for at in times if at > now - length]
    for key, length in FACTS:
        facts = state[key]
        if facts and facts[0][0] <= now - length:
            state[key] = [fact for fact in facts if fact[0] > now - length]
    seen = state["seen"]
    while seen:
        product = next(iter(seen))
        if seen[product] > now - DAY:
            break
        del seen[product]
    if state["due"] and min(state["due"]) <= now:
        state["due"] = [at for at in state["due"] if at > now]


# ─ what is so now ─


def is_browsing(state: State, now: int) -> bool:
    views = state["views"]
    return len(views) == 4 and views[0] > now - 30 * MINUTE


def answers(state: State, now: int) -> list[Json]:
    """Every definition's value, in the order of `KEYS`."""
    traits, orders, paid_orders, due = state["traits"], state["orders"], state["paid_orders"], state["due"]
    newest_order = paid_orders[-1][0] if paid_orders else 0
    online, paid, added, shoes = state["online_views"], state["paid"], state["added"], state["shoes"]
    revenue = total_of(paid_orders)
    gives_back = state["returned"] > now - 5 * DAY
    signed_up, renewal = traits.get("signed_up"), traits.get("renewal")
    visit, search, dear = state["visit"], state["search"], state["dear"]
    bought = sorted(category for category, at in state["bought"].items() if at > now - 6 * DAY)
    return [
        is_browsing(state, now),
        visit[1] >= 6 and now - visit[0] < 30 * MINUTE,
        now - 6 * DAY < newest_order <= now - 2 * DAY and state["rated"] > now - 6 * DAY,
        orders > 0 and state["least"] < 120 and len(online) == 8 and online[0] > now - 4 * DAY,
        len(state["helped"]) > len(state["ordered"]),
        bool(state["open_adds"]),
        len(added) == 2 and added[0] > now - 7 * DAY,
        len(paid) == 3 and paid[0] > now - 5 * DAY,
        gives_back,
        renewal is not None and now < renewal <= now + 3 * DAY,
        signed_up is not None and now - 5 * DAY < signed_up <= now and not orders,
        is_long_standing(signed_up, renewal, now),
        bool(due) and min(due) <= now + 2 * DAY,
        state["business"],
        state["landed"] > now - 2 * DAY,
        state["bargain"],
        bool(shoes) and total_of(shoes) >= 150 and state["greatest"] == "Running Shoes",
        state["over_budget"] or state["big"],
        state["browsed"],
        revenue is not None and revenue >= 300 and not gives_back,
        orders,
        revenue,
        state["average"],
        dear[0][1] if dear else None,
        state["sku"],
        state["favourite"],
        state["campaign"],
        search[1] if search is not None and search[0] > now - 3 * DAY else None,
        bought or None,
        len(state["seen"]),
    ]


def is_long_standing(signed_up: int | None, renewal: int | None, now: int) -> bool:
    return (
        signed_up is not None
        and SIGNED_UP_AFTER < signed_up <= now - 60 * DAY
        and renewal is not None
        and renewal >= RENEWAL_FROM
        and renewal > now + 7 * DAY
    )


def is_business(traits: dict[str, Any]) -> bool:
    company, country = traits.get("company"), traits.get("address", {}).get("country")
    return (
        (traits.get("plan") in ("pro", "enterprise") or (company is not None and company["size"] >= 50))
        and traits.get("email", "").endswith(".example")
        and country is not None
        and country not in ("US", "CA")
    )


# ─ arithmetic ─


def instant(text: str) -> int:
    """ms since 1970 of a day, or of an instant in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


SIGNED_UP_AFTER = instant("2025-07-31")
RENEWAL_FROM = instant("2025-11-12T12:00:00")


def keep_newest(times: list[int], at: int, most: int) -> None:
    """Add a time, which may be older than others; only the newest are kept."""
    times.append(at)
    if len(times) > 1 and times[-2] > at:
        times.sort()
    if len(times) > most:
        del times[0]


def counted_mode(counts: dict[str, int], key: str, least: int) -> str | None:
    """Count one more, and give the most frequent; of several the first in the order of the text."""
    counts[key] = counts.get(key, 0) + 1
    most = max(counts.values())
    return min(key for key, times in counts.items() if times == most) if most >= least else None


def total_of(facts: list[list[Any]]) -> Any:
    return rounded(sum([fact[1] for fact in facts])) if facts else None


def rounded(value: float) -> float:
    """To 12 significant digits, as the language has it."""
    return float(f"{value:.12g}")
