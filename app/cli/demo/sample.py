"""The shop's configuration: what it wants to know about people, and the one tool that it tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from app.definitions.model import Kind

DESTINATION = "crm"
SECRET_FILE = "crm.secret"
CONFIG_FILE = "headwater.yaml"
PRESENT_WINDOW_MS = 10_000
CART_WINDOW_MS = 12_000
WINDOW_MS_MAX = max(PRESENT_WINDOW_MS, CART_WINDOW_MS)
"""The longest window that runs out within the demo; the big spenders' hour does not."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One definition of the demo and the calls that carry its changes."""

    key: str
    kind: Kind
    name: str
    query: str
    calls: tuple[str, ...]
    include_anonymous_users: bool = False


SAMPLES: tuple[Sample, ...] = (
    Sample(
        "looking_around",
        "audience",
        "Looking around right now (left by time alone)",
        "event('Product Viewed').within(10 seconds).count() >= 3",
        ("track",),
        include_anonymous_users=True,
    ),
    Sample(
        "cart_waiting",
        "audience",
        "Something in the cart and no order (left by time or by an order)",
        "event('Product Added').within(12 seconds).count() >= 1\n"
        "AND NOT event('Order Completed').within(12 seconds).count() >= 1",
        ("identify", "track"),
    ),
    Sample(
        "shoe_fans",
        "audience",
        "Keen on good shoes",
        "event('Product Viewed').where(property('category') = 'shoes' AND property('price') >= 80).count() >= 2",
        ("identify",),
    ),
    Sample(
        "big_spenders",
        "audience",
        "Big spenders",
        "event('Order Completed').within(1 hour).sum(property('revenue')) >= 300",
        ("identify", "track"),
    ),
    Sample(
        "vip",
        "audience",
        "Big spenders on the pro plan",
        "trait('big_spenders') = true AND trait('plan') = 'pro'",
        ("identify",),
    ),
    Sample(
        "loyal",
        "audience",
        "Came back to buy, not yet VIP",
        "trait('orders_total') >= 2 AND NOT trait('vip') = true",
        ("identify",),
    ),
    Sample(
        "newsletter_warm",
        "audience",
        "Newsletter readers and those it brought here",
        "trait('newsletter') = true OR\n"
        "event('Products Searched').where(context('campaign.source') = 'newsletter').count() >= 1",
        ("track",),
    ),
    Sample("orders_total", "trait", "Orders", "event('Order Completed').count()", ("identify",)),
    Sample("revenue_total", "trait", "Revenue", "event('Order Completed').sum(property('revenue'))", ("identify",)),
    Sample("searches_total", "trait", "Searches", "event('Products Searched').count()", ("identify",)),
    Sample(
        "cart_activity",
        "trait",
        "Things put into the cart just now (falls by time alone)",
        "event('Product Added').within(12 seconds).count()",
        ("identify",),
    ),
)

CALLS: dict[str, tuple[str, ...]] = {sample.key: sample.calls for sample in SAMPLES}
AUDIENCES: tuple[str, ...] = tuple(sample.key for sample in SAMPLES if sample.kind == "audience")
TRAITS: tuple[str, ...] = tuple(sample.key for sample in SAMPLES if sample.kind == "trait")


def write_configuration(folder: Path, *, hook_url: str, secret: str) -> Path:
    """Write the demo's configuration file, and its secret to a file of its own that only the owner can read."""
    secret_path = folder / SECRET_FILE
    secret_path.touch(mode=0o600)
    secret_path.write_text(secret, encoding="utf-8")
    path = folder / CONFIG_FILE
    path.write_text(yaml.safe_dump(_document(hook_url), sort_keys=False, width=110), encoding="utf-8")
    return path


def _document(hook_url: str) -> dict[str, object]:
    return {
        "space": {"id": "spa_demo", "slug": "demo", "name": "Demo shop"},
        "kafka": {"brokers": "embedded", "partitions": 4},
        "sources": [{"id": "web", "write_key": "demo"}],
        "api": {"host": "127.0.0.1", "port": 0},
        "audiences": [_definition(sample) for sample in SAMPLES if sample.kind == "audience"],
        "traits": [_definition(sample) for sample in SAMPLES if sample.kind == "trait"],
        "destinations": [
            {
                "name": DESTINATION,
                "type": "webhook",
                "settings": {"url": hook_url, "secret": f"${{file:{SECRET_FILE}}}"},
                "rate_per_s": 500,
                "connect": [{sample.kind: sample.key, "calls": list(sample.calls)} for sample in SAMPLES],
            }
        ],
        "delivery": {"allow_networks": ["127.0.0.0/8"]},
    }


def _definition(sample: Sample) -> dict[str, object]:
    found: dict[str, object] = {"key": sample.key, "name": sample.name, "query": sample.query}
    if sample.include_anonymous_users:
        found["include_anonymous_users"] = True
    return found
