"""A delivery worker and the vendors that it sends to, as processes of a measurement; and what it has to deliver."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from app import configuration
from app.activation.payload import Computation, Payload
from app.cli import topics_setup
from app.topics import Topics
from benchmarks.bench import Bench
from benchmarks.events import PARTITIONS
from benchmarks.process import Mark, Measured, ignore, measured

READY_TIMEOUT_S = 60.0
PROFILES = 20_000
PER_S_MAX = 100_000
"""A rate that nobody reaches: what is measured is the sender."""
_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Vendor:
    """A webhook."""

    path: str
    batch: int = 1
    """Messages of one request."""
    rate_per_s: float | None = None
    """None: the type's own."""


def id_of(destination: str, number: int) -> str:
    """Of the payload, and of the message that it becomes."""
    return f"{destination}-{number}"


def payload(destination: str, number: int) -> tuple[bytes, bytes]:
    """Key and value of a record of the destination's topic: about 570 bytes, as a computed trait makes them."""
    profile, id_ = f"prf_{number % PROFILES:024x}", id_of(destination, number)
    at = "2026-01-31T10:00:00.000Z"
    call: dict[str, object] = {
        "type": "identify", "messageId": id_, "timestamp": at, "userId": f"user-{number % PROFILES:06d}",
        "traits": {"orders": number, "email": f"user-{number % PROFILES:06d}@example.com"},
        "context": {"personas": {"computation_class": "trait", "computation_id": "tra_1", "computation_key": "orders",
                                 "namespace": "default", "space_id": "default"}},
        "integrations": {"All": False, destination: True},
    }  # fmt: skip
    made = Payload(id_, destination, profile, number, at, "live", Computation("trait", "tra_1", "orders"), call)
    return profile.encode(), _encode(made)


def payloads(destination: str, count: int) -> Iterator[tuple[bytes, bytes]]:
    return (payload(destination, number) for number in range(count))


@asynccontextmanager
async def receiving(
    place: Path, expected: int, on_mark: Callable[[Mark], None] = ignore
) -> AsyncIterator[tuple[Measured, str]]:
    """The vendors, and the beginning of their URLs."""
    command = [sys.executable, "-m", "benchmarks.delivery.receiver"]
    command += ["--events", str(expected), "--log", str(place / "arrived.log")]
    async with measured("receiver", command, place / "receiver.log", on_mark) as receiver:
        ready = await receiver.wait_for("ready", READY_TIMEOUT_S)
        yield receiver, f"http://127.0.0.1:{ready.records}"


async def prepare(bench: Bench, name: str, place: Path, address: str, vendors: Mapping[str, Vendor]) -> Topics:
    """The configuration in `place`, and its topics; they begin with `name`."""
    document: dict[str, Any] = {
        "kafka": {"brokers": bench.brokers, "topic_prefix": f"{name}-", "partitions": PARTITIONS},
        "traits": [{"key": "orders", "query": "event('Order Completed').count()"}],
        "destinations": [
            {
                "name": each, "type": "webhook", "connect": [{"trait": "orders"}],
                "settings": {"url": f"{address}/{vendor.path}", "secret": _SECRET, "batch": vendor.batch},
                **({"rate_per_s": vendor.rate_per_s} if vendor.rate_per_s else {}),
            }
            for each, vendor in vendors.items()
        ],
        "delivery": {"allow_networks": ["127.0.0.1/32"]},
    }  # fmt: skip
    path = place / "headwater.yaml"
    path.write_text(yaml.safe_dump(document))
    settings = configuration.open_configuration(path, {}).settings
    await topics_setup.ensure(settings, bench.brokers)
    return Topics(settings.kafka.topic_prefix)


@asynccontextmanager
async def delivering(bench: Bench, place: Path) -> AsyncIterator[Measured]:
    """A delivery worker with that configuration, as `headwater worker delivery` runs it."""
    command = [sys.executable, "-m", "app", "worker", "delivery", "--config", str(place / "headwater.yaml")]
    command += ["--data", str(place / "data"), "--brokers", bench.brokers]
    async with measured("delivery", command, place / "delivery.log") as worker:
        yield worker
