"""Identity in the whole pipeline: a stream worker over the demo's messages, by the metrics that it exposes itself."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
import yaml
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from app import configuration
from app.cli.apply import put_into_effect
from app.cli.demo.command import RATE_PER_S
from app.cli.demo.sample import CONFIG_FILE, write_configuration
from app.cli.demo.shop import plan
from app.observability import run_file
from app.observability.catalogue import EVENTS, LAG, LINKED, STAGE_SECONDS
from app.topics import Topics, partition_of
from benchmarks.bench import Bench, Failed, failures, outcome, succeeded
from benchmarks.cluster import fill_stamped
from benchmarks.events import PARTITIONS
from benchmarks.figures import middle
from benchmarks.process import Measured, ProcessFailed, measured
from benchmarks.report import table

LIVE, WAITING, STRANGERS = "the demo's, at its own pace", "the demo's, all of them waiting", "each of somebody new"
NAME = "stream"
TIMEOUT_S = 900.0
SAMPLE_EVERY_S = 0.2
STILL_S = 2.0
"""Without lag and progress for so long: all is done."""
WARM_SHARE = 0.2
AGO_MS = 3 * 3_600_000
"""So long before now messages that wait have been sent: all of the demo's windows have run out since."""

Message = tuple[int, bytes, bytes | None]
"""Milliseconds since the first, key, value."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the worker says at one moment, and the processor time it has used."""

    at_s: float
    cpu_s: float
    resolved: float
    linked: float
    """Of the resolved, how many went by way of `link`."""
    decided: float
    deciding_s: float
    """What `link` took for them, waiting for its acknowledgements included."""
    computed: float
    lag: float

    @property
    def progress(self) -> tuple[float, ...]:
        return self.resolved, self.decided, self.computed


@dataclass(frozen=True, slots=True)
class Ran:
    """One round of one stream."""

    messages: int
    per_s: float
    cpu_us: float
    slow_share: float
    decisions_per_s: float

    def __str__(self) -> str:
        return f"{self.per_s:,.0f} messages/s, {self.slow_share:.1%} by way of link"


def sample(exposition: str, topics: Topics, *, at_s: float, cpu_s: float) -> Sample:
    """From the text that Prometheus would be given."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        for name, labels, value, *_ in family.samples:
            of_topic = f"{name} {labels.get('topic', '')}".strip()
            found[of_topic] = found.get(of_topic, 0.0) + value
    return Sample(
        at_s=at_s,
        cpu_s=cpu_s,
        resolved=found.get(f"{EVENTS.name} {topics.events_raw}", 0.0),
        linked=found.get(LINKED.name, 0.0),
        decided=found.get(f"{EVENTS.name} {topics.identity_links}", 0.0),
        deciding_s=found.get(f"{STAGE_SECONDS.name}_sum {topics.identity_links}", 0.0),
        computed=found.get(f"{EVENTS.name} {topics.profiles_in}", 0.0),
        lag=sum(value for name, value in found.items() if name.startswith(f"{LAG.name} ")),
    )


def ran(samples: Sequence[Sample], messages: int) -> Ran:
    """Of a whole round. The clock runs from just before `resolve` is done with a fifth until all is done."""
    last = next(each for each in samples if each.progress == samples[-1].progress)
    *_, warm = (each for each in samples if each.resolved < messages * WARM_SHARE)
    counted = last.resolved - warm.resolved
    return Ran(
        messages,
        per_s=counted / (last.at_s - warm.at_s),
        cpu_us=(last.cpu_s - warm.cpu_s) / counted * 1e6,
        slow_share=last.linked / last.resolved,
        decisions_per_s=last.decided / last.deciding_s,
    )


def messages_of(stream: str, seed: int, count: int, began_ms: int) -> list[Message]:
    """About `count` messages of the demo's visitors, or as many of strangers, at the demo's rate."""
    if stream != STRANGERS:
        return plan(seed=seed, rate=RATE_PER_S, seconds=count / RATE_PER_S).records(began_ms)
    return [_of_stranger(at) for at in range(count)]


def _of_stranger(number: int) -> Message:
    message = {"type": "page", "messageId": f"m{number}", "anonymousId": f"d{number}", "name": "Home"}
    return int(number * 1_000 / RATE_PER_S), f"d{number}".encode(), orjson.dumps(message)


async def measure(bench: Bench, stream: str, count: int, name: str) -> Ran:
    """One stream, from an empty disk and in topics of its own."""
    place = bench.place(name)
    topics = await _prepare(bench, name, place)
    now_ms = time.time_ns() // 1_000_000
    began_ms = now_ms if stream == LIVE else now_ms - AGO_MS - int(count / RATE_PER_S * 1_000)
    messages = messages_of(stream, bench.seed, count, began_ms)
    source, waiting = topics.events_raw, stream != LIVE
    if waiting:
        stamped = ((key, value or b"", began_ms + at_ms) for at_ms, key, value in messages)
        await fill_stamped(bench.brokers, source, stamped)
    command = [sys.executable, "-m", "app", "worker", "stream", "--config", str(place / CONFIG_FILE)]
    command += ["--data", str(place), "--name", NAME, "--brokers", bench.brokers]
    async with measured(NAME, command, place / "stream.log") as worker:
        follower = _Follower(bench, worker, topics, place)
        if not waiting:
            await follower.ready()
        sending = asyncio.create_task(_send(bench.brokers, source, () if waiting else messages))
        try:
            await follower.follow(len(messages))
        finally:
            sending.cancel()
    return ran(follower.samples, len(messages))


async def _prepare(bench: Bench, name: str, place: Path) -> Topics:
    """The demo's configuration in `place`, in effect in topics that begin with `name`. Nobody delivers."""
    path = write_configuration(
        place, hook_url="http://127.0.0.1:1/hook", secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    )
    document = yaml.safe_load(path.read_text("utf-8"))
    document["kafka"] = {"brokers": bench.brokers, "topic_prefix": f"{name}-", "partitions": PARTITIONS}
    path.write_text(yaml.safe_dump(document), "utf-8")
    settings = configuration.open_configuration(path, {}).settings
    await put_into_effect(settings, bench.brokers)
    return Topics(settings.kafka.topic_prefix)


class _Follower:
    """Samples of one worker.

    Raises:
        ProcessFailed: the worker ended, or took longer than `TIMEOUT_S`.
    """

    def __init__(self, bench: Bench, worker: Measured, topics: Topics, place: Path) -> None:
        self.samples: list[Sample] = []
        self._bench = bench
        self._worker = worker
        self._topics = topics
        self._place = place

    async def ready(self) -> None:
        async with self._asking() as session:
            while not await self._ask(session, "/health/ready"):  # noqa: ASYNC110 another process
                await asyncio.sleep(SAMPLE_EVERY_S)

    async def follow(self, messages: int) -> None:
        """Until all are done and nothing has moved for `STILL_S`."""
        async with self._asking() as session:
            while not self._still(messages):
                await asyncio.sleep(SAMPLE_EVERY_S)
                text = await self._ask(session, "/metrics")
                at_s, cpu_s = time.monotonic(), self._worker.cpu_s()
                self.samples.append(sample(text, self._topics, at_s=at_s, cpu_s=cpu_s))
                self._bench.status.show(f"identity: {self.samples[-1].resolved:,.0f} of {messages:,}")

    def _still(self, messages: int) -> bool:
        if not self.samples:
            return False
        last = self.samples[-1]
        moved = next(each for each in self.samples if each.progress == last.progress)
        return last.resolved >= messages and not last.lag and last.at_s - moved.at_s >= STILL_S

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[aiohttp.ClientSession]:
        try:
            async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as session:
                yield session
        except (TimeoutError, aiohttp.ClientError) as error:
            what = str(error) or f"was not done in {TIMEOUT_S:.0f} s"
            raise ProcessFailed(NAME, what, self._place / "stream.log") from None

    async def _ask(self, session: aiohttp.ClientSession, path: str) -> str:
        """What the worker answers; empty while it does not serve."""
        address = (run_file.read(self._place, NAME) or {}).get("health")
        if address is None:
            return ""
        async with session.get(f"{address}{path}") as reply:
            return await reply.text() if reply.ok else ""


async def _send(brokers: str, topic: str, messages: Sequence[Message]) -> None:
    """Each at its time."""
    async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all", linger_ms=0) as producer:
        began_s = time.monotonic()
        for at_ms, key, value in messages:
            await asyncio.sleep(max(0.0, began_s + at_ms / 1_000 - time.monotonic()))
            await producer.send(topic, value, key=key, partition=partition_of(key, PARTITIONS))
        await producer.flush()


async def run(bench: Bench, *, messages: int, live_s: int) -> str:
    """All rounds; gives the table."""
    counts = {LIVE: int(live_s * RATE_PER_S), WAITING: messages, STRANGERS: messages // 3}
    outcomes: dict[str, list[Ran | Failed]] = {stream: [] for stream in counts}
    for number in range(bench.rounds):
        for at, (stream, count) in enumerate(counts.items()):
            name = f"{bench.prefix}-identity-{at}-{number}"
            outcomes[stream].append(await outcome(bench, measure(bench, stream, count, name)))
            bench.status.tell(f"identity {number + 1}/{bench.rounds}, {stream}: {outcomes[stream][-1]}")
    return report(outcomes)


def report(outcomes: Mapping[str, Sequence[Ran | Failed]]) -> str:
    rows = []
    for stream, of_stream in outcomes.items():
        runs = succeeded(of_stream)
        figures = ["–"] * 5
        if runs:
            figures = [
                f"{runs[0].messages:,}",
                middle([run.per_s for run in runs]),
                middle([run.cpu_us for run in runs]),
                middle([run.slow_share * 100 for run in runs], digits=1),
                middle([run.decisions_per_s for run in runs]),
            ]
        rows.append([stream, *figures, failures(of_stream) or "–"])
    return table(
        ["messages", "of them", "a second", "CPU µs each", "by way of link, %", "link decides, a second", "failed"],
        rows,
    )
