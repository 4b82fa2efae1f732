"""The delivery job: messages/s into a fast receiver, and the latency of a well destination beside a sick one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from aiokafka import AIOKafkaProducer

from app.topics import partition_of
from benchmarks.bench import Bench, Failed, failures, outcome, succeeded
from benchmarks.cluster import fill
from benchmarks.delivery import parked
from benchmarks.delivery.receiver import TAKEN_EVERY
from benchmarks.delivery.worker import PER_S_MAX, Vendor, delivering, id_of, payload, payloads, prepare, receiving
from benchmarks.events import PARTITIONS
from benchmarks.figures import mebibytes, middle, percentile, ratio
from benchmarks.process import Mark, Measured
from benchmarks.report import table

TIMEOUT_S = 600.0
WARM_SHARE = 0.2
EVERY_S = 0.005
"""Between two messages to the well destination."""
PRIMED = TAKEN_EVERY
"""Messages that wait when the worker starts; once they are through, it has its partitions."""
SETTLING_S = 5
WAITING = 20_000
"""Messages that the sick destination has waiting: more than go out in the whole time."""
SENDERS = {"one message a request": Vendor("well", 1, PER_S_MAX), "100 a request": Vendor("well", 100, PER_S_MAX)}
NEIGHBOURS = {
    "nobody": None,
    "one that answers 503": Vendor("down"),
    "one that answers 429": Vendor("throttled"),
    "one that does not answer": Vendor("silent"),
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One round of the sender."""

    per_s: float
    cpu_us: float
    rss_bytes_max: int

    def __str__(self) -> str:
        return f"{self.per_s:,.0f} messages/s, {self.cpu_us:.0f} µs each"


@dataclass(slots=True)
class _Watch:
    """What the receiver has taken, with the sender's processor time at that moment."""

    worker: Measured | None = None
    seen: list[tuple[int, float, float]] = field(default_factory=list)

    def mark(self, mark: Mark) -> None:
        if self.worker is not None and mark.event in ("taken", "done"):
            self.seen.append((mark.records, mark.t_s, self.worker.cpu_s()))


async def send(bench: Bench, vendor: Vendor, name: str, messages: int) -> Sent:
    """A topic that is full, a worker that begins, a receiver that takes everything at once."""
    place, watch = bench.place(name), _Watch()
    async with receiving(place, messages, watch.mark) as (receiver, address):
        topics = await prepare(bench, name, place, address, {"crm": vendor})
        await fill(bench.brokers, topics.destination("crm"), payloads("crm", messages))
        async with delivering(bench, place) as worker:
            watch.worker = worker
            await receiver.wait_for("done", TIMEOUT_S)
    count, at_s, cpu_s = next(each for each in watch.seen if each[0] >= messages * WARM_SHARE)
    last, last_s, last_cpu_s = watch.seen[-1]
    return Sent((last - count) / (last_s - at_s), (last_cpu_s - cpu_s) * 1e6 / (last - count), worker.rss_bytes_max)


async def beside(bench: Bench, sick: Vendor | None, name: str, seconds: int) -> list[float]:
    """Milliseconds from handing a message to the producer to its arrival at the well vendor, beside a sick one."""
    place, count = bench.place(name), int((SETTLING_S + seconds) / EVERY_S)
    vendors = {"crm": Vendor("well", 1, PER_S_MAX)} | ({"sick": sick} if sick else {})
    async with receiving(place, PRIMED + count) as (receiver, address):
        topics = await prepare(bench, name, place, address, vendors)
        if sick:
            await fill(bench.brokers, topics.destination("sick"), payloads("sick", WAITING))
        await fill(bench.brokers, topics.destination("crm"), payloads("crm", PRIMED))
        async with delivering(bench, place):
            await receiver.wait_for("taken", TIMEOUT_S)
            sent = await load(bench.brokers, topics.destination("crm"), range(PRIMED, PRIMED + count))
            await receiver.wait_for("done", TIMEOUT_S)
    lines = (line.split() for line in (place / "arrived.log").read_text().splitlines())
    arrived = {id_: float(at_s) for id_, at_s in lines}
    settled = min(sent.values()) + SETTLING_S
    return [(arrived[id_] - at_s) * 1e3 for id_, at_s in sent.items() if at_s >= settled]


async def load(brokers: str, topic: str, numbers: range) -> dict[str, float]:
    """Produces at an even pace; when each message was handed over."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", linger_ms=0)
    await producer.start()
    sent: dict[str, float] = {}
    acks = []
    try:
        began_s = time.monotonic()
        for at, number in enumerate(numbers):
            await asyncio.sleep(began_s + at * EVERY_S - time.monotonic())
            key, value = payload("crm", number)
            sent[id_of("crm", number)] = time.monotonic()
            acks.append(await producer.send(topic, value, key=key, partition=partition_of(key, PARTITIONS)))
        await asyncio.gather(*acks)
    finally:
        await producer.stop()
    return sent


async def run(bench: Bench, *, messages: int, seconds: int) -> str:
    """All rounds; gives both tables and the line about memory."""
    sent: dict[str, list[Sent | Failed]] = {title: [] for title in SENDERS}
    felt: dict[str, list[list[float] | Failed]] = {title: [] for title in NEIGHBOURS}
    for number in range(bench.rounds):
        for at, (title, vendor) in enumerate(SENDERS.items()):
            count = messages * (1 if vendor.batch == 1 else 5)
            sent[title].append(await outcome(bench, send(bench, vendor, f"{bench.prefix}-send-{at}-{number}", count)))
            bench.status.tell(f"delivery {number + 1}/{bench.rounds}, {title}: {sent[title][-1]}")
        for at, (title, sick) in enumerate(NEIGHBOURS.items()):
            felt[title].append(
                await outcome(bench, beside(bench, sick, f"{bench.prefix}-beside-{at}-{number}", seconds))
            )
            bench.status.tell(f"delivery {number + 1}/{bench.rounds}, beside {title}")
    return f"{senders(sent)}\n\n{neighbours(felt)}\n\n{parked.run()}"


def senders(sent: Mapping[str, Sequence[Sent | Failed]]) -> str:
    rows = []
    for title, outcomes in sent.items():
        runs = succeeded(outcomes)
        figures = ["–"] * 3
        if runs:
            figures = [middle([run.per_s for run in runs]), middle([run.cpu_us for run in runs])]
            figures.append(f"{mebibytes(max(run.rss_bytes_max for run in runs)):,.0f}")
        rows.append([title, *figures, failures(outcomes) or "–"])
    return table(["one webhook", "messages/s", "CPU µs/message", "memory, MiB, peak", "failed"], rows)


def neighbours(felt: Mapping[str, Sequence[list[float] | Failed]]) -> str:
    alone = [percentile(run, 0.99) for run in succeeded(felt["nobody"])]
    rows = []
    for title, outcomes in felt.items():
        runs = succeeded(outcomes)
        figures = ["–"] * 3
        if runs:
            p99s = [percentile(run, 0.99) for run in runs]
            figures = [f"{median(percentile(run, 0.5) for run in runs):,.1f}", middle(p99s, digits=1)]
            figures.append(ratio(median(p99s), median(alone)) if alone else "–")
        rows.append([title, *figures, failures(outcomes) or "–"])
    return table(["a well webhook beside", "p50, ms", "p99, ms", "p99, of alone", "failed"], rows)
