"""The count job: how fast, with how much memory and processor time, and is it right?"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.bench import Bench, Failed, failures, rounds, succeeded
from benchmarks.cluster import create_topic, fill, read
from benchmarks.engines import Engine
from benchmarks.events import Event, Truth, events
from benchmarks.figures import mebibytes, middle, ratio
from benchmarks.process import measured
from benchmarks.report import table
from benchmarks.verify import faults

EVENTS_PER_S_MIN = 200  # slower is taken for hung
START_TIMEOUT_S = 120.0
FINISH_TIMEOUT_S = 120.0
RATIOS = ("quix", "kafka-streams")


@dataclass(frozen=True, slots=True)
class Source:
    """A filled topic and the truth about it. The first `warm` events are not measured."""

    topic: str
    warm: int
    truth: Truth


@dataclass(frozen=True, slots=True)
class Counted:
    """One engine's round."""

    events_per_s: float
    cpu_us_per_event: float
    rss_bytes_max: int
    faults: str

    def __str__(self) -> str:
        answer = f"WRONG: {self.faults}" if self.faults else "right"
        memory = f"{mebibytes(self.rss_bytes_max):,.0f} MiB"
        return f"{self.events_per_s:,.0f} events/s, {self.cpu_us_per_event:.1f} µs CPU/event, {memory}, {answer}"


async def make_source(bench: Bench, name: str, *, events_after_warm: int, warm: int) -> Source:
    """Creates and fills a topic, keyed by user."""
    topic = f"{bench.prefix}-{name}"
    truth = Truth()

    bench.status.tell(f"producing {warm + events_after_warm:,} events to {topic}")
    await create_topic(bench.brokers, topic)
    await fill(bench.brokers, topic, records(events(bench.seed, warm + events_after_warm), truth))
    return Source(topic, warm, truth)


def records(stream: Iterable[Event], truth: Truth) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each event; the truth learns of them on the way."""
    for event in stream:
        truth.add(event.user, event.name)
        yield event.user.encode(), event.value


async def measure(bench: Bench, engine: Engine, source: Source, name: str) -> Counted:
    """Runs one engine over the whole topic, from an empty disk and a new group."""

    async def check(out: str) -> str:
        return await faults(read(bench.brokers, out), source.truth)

    out = f"{name}-out"
    await create_topic(bench.brokers, out)
    return await timed(bench, engine, "count", name, source, out, check)


async def timed(
    bench: Bench, engine: Engine, job: str, name: str, source: Source, out: str, check: Callable[[str], Awaitable[str]]
) -> Counted:
    """One engine's run of a job over a source's topic.

    Args:
        out: The output topic, which is there and empty.
        check: Output topic → what is wrong with the answers, in words.
    """
    total = source.truth.events
    place = bench.place(name)
    command = bench.command(
        engine, job, topic=source.topic, out=out, group=name, data=place / "data", events=total, warm=source.warm
    )
    follow = bench.follow(f"{job}, {engine.title}", total)
    async with measured(engine.title, command, place / "stderr.log", follow) as running:
        warm = await running.wait_for("warm", START_TIMEOUT_S + source.warm / EVENTS_PER_S_MIN)
        done = await running.wait_for("done", FINISH_TIMEOUT_S + total / EVENTS_PER_S_MIN)
        await running.finish(FINISH_TIMEOUT_S)
    events_measured = done.records - warm.records
    return Counted(
        events_per_s=events_measured / (done.t_s - warm.t_s),
        cpu_us_per_event=(done.cpu_s - warm.cpu_s) / events_measured * 1e6,
        rss_bytes_max=running.rss_bytes_max,
        faults=await check(out),
    )


async def run(bench: Bench, *, events_after_warm: int, warm: int) -> str:
    """All rounds; gives the table."""
    sources = {
        share: await make_source(
            bench, f"events-{share:g}", events_after_warm=int(events_after_warm * share), warm=int(warm * share)
        )
        for share in sorted({engine.share for engine in bench.engines})
    }
    outcomes = await rounds(
        bench, "count", bench.engines, lambda engine, name: measure(bench, engine, sources[engine.share], name)
    )
    return report(bench.engines, outcomes, {engine: sources[engine.share] for engine in bench.engines})


def report(
    engines: Sequence[Engine], outcomes: Mapping[str, Sequence[Counted | Failed]], sources: Mapping[Engine, Source]
) -> str:
    rates = {name: median(run.events_per_s for run in succeeded(of)) for name, of in outcomes.items() if succeeded(of)}
    bases = [engine for engine in engines if engine.name in RATIOS and engine.name in rates]
    header = ["engine", "events after warm-up", "events/s", *(f"of {base.title}" for base in bases)]
    rows = []
    for engine in engines:
        runs = succeeded(outcomes[engine.name])
        source = sources[engine]
        row = [engine.title, f"{source.truth.events - source.warm:,} after {source.warm:,}"]
        if runs:
            row.append(middle([run.events_per_s for run in runs]))
            row += [ratio(rates[engine.name], rates[base.name]) for base in bases]
            row.append(middle([run.cpu_us_per_event for run in runs], digits=1))
            row.append(f"{mebibytes(max(run.rss_bytes_max for run in runs)):,.0f}")
        else:
            row += ["–"] * (len(bases) + 3)
        row.append(answers({run.faults for run in runs}, failures(outcomes[engine.name])))
        rows.append(row)
    return table([*header, "CPU µs/event", "memory, MiB, peak", "answers"], rows)


def answers(faults: Iterable[str], failed: str) -> str:
    """The table's verdict on an engine: right, or what was wrong, or why there is no figure."""
    wrong = [f"**wrong**: {fault}" for fault in sorted(faults) if fault]
    return "; ".join([*wrong, *([f"**failed**: {failed}"] if failed else [])]) or "right"
