"""The latency job: from produce to the output topic at a steady rate, seen by a consumer outside the engine."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench, Failed, failures, rounds, succeeded
from benchmarks.cluster import create_topic, fill
from benchmarks.count import FINISH_TIMEOUT_S, START_TIMEOUT_S, answers, records
from benchmarks.engines import Engine
from benchmarks.events import Truth, events
from benchmarks.figures import mebibytes, percentile
from benchmarks.process import measured
from benchmarks.report import table

EVENTS_PER_S = 1_000
PRIMED_EVENTS = 1_000  # on the topic before the engine starts; once they are through, it has its partitions
SETTLING_S = 5  # of load before latencies count: the just-in-time compilers, the first fetches
DRAIN_TIMEOUT_S = 60.0

Order = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Latencies:
    """One engine's round: one latency for each order of the measured seconds."""

    ms: Sequence[float]
    lost: int
    rss_bytes_max: int

    @property
    def faults(self) -> str:
        return f"{self.lost:,} orders never arrived" if self.lost else ""

    def __str__(self) -> str:
        p50, p99 = percentile(self.ms, 0.5), percentile(self.ms, 0.99)
        return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {self.faults or 'nothing lost'}"


def read_log(path: Path) -> dict[Order, float]:
    """Order → monotonic seconds, out of `user count seconds` lines; of a repeated order the first line counts."""
    times: dict[Order, float] = {}
    for line in path.read_text().splitlines():
        user, count, seconds = line.split()
        times.setdefault((user, int(count)), float(seconds))
    return times


def join(sent: Mapping[Order, float], arrived: Mapping[Order, float], *, settling_s: float) -> tuple[list[float], int]:
    """Latencies in ms of the orders sent after the first `settling_s`, and how many of all never arrived."""
    begun_s = min(sent.values()) + settling_s
    ms = [(arrived[order] - at_s) * 1e3 for order, at_s in sent.items() if at_s >= begun_s and order in arrived]
    return ms, len(sent.keys() - arrived.keys())


async def measure(bench: Bench, engine: Engine, name: str, seconds: int) -> Latencies:
    """One engine on a topic of its own: prime it, load it, read the clock on both sides."""
    topic, out, place = f"{name}-events", f"{name}-out", bench.place(name)
    for new in (topic, out):
        await create_topic(bench.brokers, new)
    truth, primed = Truth(), Truth()
    loaded = (SETTLING_S + seconds) * EVENTS_PER_S
    total = PRIMED_EVENTS + loaded
    await fill(bench.brokers, topic, records(events(bench.seed, PRIMED_EVENTS), primed))
    for event in events(bench.seed, total):
        truth.add(event.user, event.name)
    common = {"topic": topic, "out": out, "group": name, "data": place / "data"}
    command = bench.command(engine, "count", **common, events=total, warm=PRIMED_EVENTS)
    loading = _tool(bench, "load", topic, place / "sent.log")
    loading += ["--seed", str(bench.seed), "--skip", str(PRIMED_EVENTS), "--rate", str(EVENTS_PER_S)]
    metering = [*_tool(bench, "meter", out, place / "arrived.log"), "--records", str(truth.outputs)]
    follow = bench.follow(f"latency, {engine.title}", total)
    async with (
        measured(engine.title, command, place / "stderr.log", follow) as running,
        measured("meter", metering, place / "meter.log") as meter,
    ):
        await running.wait_for("warm", START_TIMEOUT_S)
        await meter.wait_for("ready", START_TIMEOUT_S)
        async with measured("load", [*loading, "--events", str(loaded)], place / "load.log") as load:
            await load.wait_for("done", SETTLING_S + seconds + DRAIN_TIMEOUT_S)
            await load.finish(FINISH_TIMEOUT_S)
        await meter.wait_for("done", DRAIN_TIMEOUT_S)
        await meter.finish(FINISH_TIMEOUT_S)
        await running.wait_for("done", DRAIN_TIMEOUT_S)
        await running.finish(FINISH_TIMEOUT_S)
    ms, lost = join(read_log(place / "sent.log"), read_log(place / "arrived.log"), settling_s=SETTLING_S)
    return Latencies(ms=ms, lost=lost, rss_bytes_max=running.rss_bytes_max)


def _tool(bench: Bench, module: str, topic: str, log: Path) -> list[str]:
    command = [sys.executable, "-m", f"benchmarks.{module}", "--brokers", bench.brokers]
    return [*command, "--topic", topic, "--log", str(log)]


async def run(bench: Bench, *, seconds: int) -> str:
    """All rounds; gives the table."""
    able = [engine for engine in bench.engines if "latency" in engine.jobs]
    outcomes = await rounds(bench, "latency", able, lambda engine, name: measure(bench, engine, name, seconds))
    return report(able, outcomes)


def report(engines: Sequence[Engine], outcomes: Mapping[str, Sequence[Latencies | Failed]]) -> str:
    """Each figure is the median of the rounds' own percentiles."""
    rows = []
    for engine in engines:
        runs = [run for run in succeeded(outcomes[engine.name]) if run.ms]
        figures = ["–"] * 5
        if runs:
            figures = [f"{median(len(run.ms) for run in runs):,.0f}"]
            figures += [f"{median(percentile(run.ms, share) for run in runs):,.1f}" for share in (0.5, 0.99, 1.0)]
            figures.append(f"{mebibytes(max(run.rss_bytes_max for run in runs)):,.0f}")
        rows.append([engine.title, *figures, answers({run.faults for run in runs}, failures(outcomes[engine.name]))])
    header = ["engine", "orders a round", "p50, ms", "p99, ms", "greatest, ms", "memory, MiB, peak", "answers"]
    return table(header, rows)
