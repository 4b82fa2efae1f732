"""What an event costs in the compute stage as definitions grow, and what a profile weighs; in process, no broker."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from statistics import mean, median

import orjson

from app.definitions.model import Catalog, Definition
from app.profiles.store import PROFILE
from app.stages import envelope
from app.stages.compute import ComputeStage
from app.stages.overlay import Overlay
from app.topics import Topics
from benchmarks.engines.identity import knowing
from benchmarks.engines.memory import Memory, Record
from benchmarks.engines.stages import BATCH, EPOCH
from benchmarks.figures import middle, percentile, ratio
from benchmarks.peers import shop_profile
from benchmarks.report import table
from benchmarks.shop.definitions import DEFINITIONS
from benchmarks.shop.events import OPENED_AT, Event, events

TOUCHED = 5
COUNTS = (10, 30, 100, 300, 1_000)
EVENTS = 30_000
USERS = 1_000
BETWEEN_EVENTS_MS = 10_000
SHOP_EVENTS = 40_000


@dataclass(frozen=True, slots=True)
class Cost:
    """One run of the compute stage."""

    us_per_event: float
    """Processor time, from the second half of the events, when profiles have their size."""
    profile_bytes: Sequence[int]


def definitions(count: int) -> list[Definition]:
    """So many definitions, five for each event name: an event touches five, whatever the count."""
    made: list[Definition] = []
    for number in range(count // TOUCHED):
        event = f"event('Event {number}')"
        made += [
            Definition(f"count_{number}", "trait", f"{event}.count()"),
            Definition(f"sum_{number}", "trait", f"{event}.within(1 day).sum(property('price'))"),
            Definition(f"last_{number}", "trait", f"{event}.last(property('product_id'))"),
            Definition(f"busy_{number}", "audience", f"{event}.within(1 hour).count() >= 3"),
            Definition(f"rich_{number}", "audience", f"{event}.where(property('price') >= 250).count() >= 2"),
        ]
    return made


def messages(seed: int, names: int, count: int = EVENTS) -> Iterator[Event]:
    """Events of `names` names in equal shares."""
    random = Random(seed)
    now_ms = int(OPENED_AT.timestamp() * 1_000)
    for number in range(count):
        now_ms += BETWEEN_EVENTS_MS
        user = f"user-{random.randrange(USERS):06d}"
        product = random.randrange(5_000)
        message = {
            "type": "track",
            "messageId": f"growth-{number:08d}",
            "userId": user,
            "event": f"Event {random.randrange(names)}",
            "properties": {"product_id": f"sku-{product:05d}", "price": product % 300 + 0.95, "currency": "EUR"},
        }
        yield Event(user, now_ms, orjson.dumps(message))


def resolved(stream: Iterable[Event]) -> list[Record]:
    """Events as they stand in `profiles.in`, from its second record on."""
    raw = [Record(n, event.user.encode(), event.value, event.at_ms) for n, event in enumerate(stream)]
    outputs = knowing(raw).process(raw, raw[-1].timestamp).outputs[Topics().profiles_in, 0]
    return [
        Record(1 + n, key, value, record.timestamp)
        for n, ((key, value, _), record) in enumerate(zip(outputs, raw, strict=True))
    ]


def cost(made: Sequence[Definition], stream: Sequence[Record]) -> Cost:
    """The compute stage over a stream, with these definitions in force."""
    memory = Memory()
    overlay = Overlay(memory)
    stage = ComputeStage(Topics(), 0, 1, overlay, epoch=EPOCH)
    every = [Record(0, None, envelope.catalog(Catalog(tuple(made))), stream[0].timestamp), *stream]
    half = len(every) // 2 // BATCH * BATCH
    spent_s = 0.0
    gc.collect()
    for start in range(0, len(every), BATCH):
        started_s = time.process_time()
        work = stage.process(every[start : start + BATCH])
        if start >= half:
            spent_s += time.process_time() - started_s
        if work.changelog:
            memory.write(work.writes)
            overlay.pop()
    sizes = [len(value) for key, value in memory.data.items() if key.startswith(PROFILE)]
    return Cost(spent_s * 1e6 / (len(every) - half), sizes)


def run(seed: int, rounds: int) -> str:
    """Both tables."""
    return f"{grown(seed, rounds)}\n\n{weighed(seed, rounds)}"


def grown(seed: int, rounds: int) -> str:
    """Cost by the number of definitions: where only five ever match, and where all do in turn."""
    same = resolved(messages(seed, 1))
    alone = [cost(definitions(TOUCHED), same).us_per_event for _ in range(rounds)]
    rows = [[f"{TOUCHED}, alone", middle(alone, digits=1), "1.00 ×", "–", "–", "–"]]
    for count in COUNTS:
        made, mixed = definitions(count), resolved(messages(seed, count // TOUCHED))
        quiet = [cost(made, same).us_per_event for _ in range(rounds)]
        lively = [cost(made, mixed) for _ in range(rounds)]
        spent = [each.us_per_event for each in lively]
        rows.append(
            [
                f"{count:,}", middle(quiet, digits=1), ratio(median(quiet), median(alone)), middle(spent, digits=1),
                ratio(median(spent), median(alone)), f"{mean(lively[0].profile_bytes):,.0f}",
            ]
        )  # fmt: skip
    header = ["definitions", "µs, one event name", "of five alone", "µs, all names", "of five alone", "bytes a profile"]
    return table([*header], rows)


def weighed(seed: int, rounds: int) -> str:
    """The shop's 30 definitions: µs an event, and bytes a profile beside the peers' state."""
    stream = resolved(events(seed, SHOP_EVENTS))
    ours = [cost(DEFINITIONS, stream) for _ in range(rounds)]
    states: dict[str, shop_profile.State] = {}
    for event in events(seed, SHOP_EVENTS):
        state = states.setdefault(event.user, shop_profile.new_state())
        shop_profile.step(state, orjson.loads(event.value), event.at_ms)
    peers = [len(orjson.dumps(state)) for state in states.values()]
    rows = [
        ["Headwater, compute stage", middle([each.us_per_event for each in ours], digits=1), *_sizes(ours[0])],
        ["Quix Streams' state, JSON", "–", *_sizes(Cost(0.0, peers))],
    ]
    return table(["the shop's 30 definitions", "µs an event", "bytes a profile", "99th percentile", "greatest"], rows)


def _sizes(of: Cost) -> list[str]:
    sizes = of.profile_bytes
    return [f"{mean(sizes):,.0f}", f"{percentile(sizes, 0.99):,.0f}", f"{max(sizes):,}"]
