"""What an event costs in each of the product's own stages, without a broker: resolve, then compute with definitions."""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.definitions.model import Catalog, Definition, Subscription
from app.stages import envelope
from app.stages.compute import ComputeStage
from app.stages.overlay import Overlay
from app.topics import Topics
from benchmarks.engines.identity import identity_costs, knowing
from benchmarks.engines.memory import Memory, Record
from benchmarks.events import events

BATCH = 2_000
EPOCH = "b" * 32
NOW_MS = 1_767_225_600_000
DEFINITIONS = (
    Definition("orders", "trait", "event('Order Completed').count()"),
    Definition("revenue_30_days", "trait", "event('Order Completed').within(30 days).sum(property('revenue'))"),
    Definition("viewers", "audience", "event('Product Viewed').within(1 hour).count() >= 3"),
    Definition("buyers", "audience", "event('Order Completed').where(property('revenue') >= 50).count() >= 1"),
    Definition("window_shoppers", "audience", "trait('viewers') = true AND NOT trait('buyers') = true"),
)


def stage_costs(seed: int, count: int = 60_000) -> list[str]:
    """Lines of text: microseconds of CPU an event, by stage."""
    topics = Topics()
    raw = [Record(n, event.user.encode(), event.value, NOW_MS + n) for n, event in enumerate(events(seed, count))]
    resolve = knowing(raw)
    forwarded: list[Record] = []
    resolving_s = 0.0
    for start in range(0, count, BATCH):
        started_s = time.process_time()
        work = resolve.process(raw[start : start + BATCH], NOW_MS + count)
        resolving_s += time.process_time() - started_s
        for key, value, _ in work.outputs.get((topics.profiles_in, 0), ()):
            forwarded.append(Record(len(forwarded) + 1, key, value, NOW_MS))
    lines = [f"{resolving_s * 1e6 / count:6.2f} µs  resolve: parse, check, find the profile, pass on"]
    for number in (0, len(DEFINITIONS)):
        lines.append(_compute(topics, forwarded, DEFINITIONS[:number]))
    return lines + identity_costs(seed)


def _compute(topics: Topics, forwarded: Sequence[Record], definitions: Sequence[Definition]) -> str:
    subscriptions = tuple(Subscription(each.key, each.kind, "crm") for each in definitions)
    catalog = Catalog(tuple(definitions), subscriptions, (("crm", "webhook"),))
    memory = Memory()
    overlay = Overlay(memory)
    stage = ComputeStage(topics, 0, 1, overlay, epoch=EPOCH)
    records = [Record(0, None, envelope.catalog(catalog), NOW_MS), *forwarded]
    spent_s, changes = 0.0, 0
    for start in range(0, len(records), BATCH):
        started_s = time.process_time()
        work = stage.process(records[start : start + BATCH])
        spent_s += time.process_time() - started_s
        changes += sum(work.facts.changes.values())
        if work.changelog:
            memory.write(work.writes)
            overlay.pop()
    count = len(forwarded)
    return (
        f"{spent_s * 1e6 / count:6.2f} µs  compute with {len(definitions)} definitions, "
        f"{changes / count:.2f} changes an event, each with a payload and a CloudEvent"
    )
