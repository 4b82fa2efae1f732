"""The restore job: an engine starts with an empty disk and a changelog full of profiles."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.bench import Bench, Failed, failures, rounds, succeeded
from benchmarks.cluster import create_topic, fill, read
from benchmarks.count import EVENTS_PER_S_MIN, FINISH_TIMEOUT_S, START_TIMEOUT_S, answers
from benchmarks.engines import Changelog, Engine
from benchmarks.events import ORDER, Truth, profiles
from benchmarks.figures import mebibytes, middle
from benchmarks.process import ProcessFailed, measured
from benchmarks.report import table
from benchmarks.verify import faults

PROBES_TIMEOUT_S = 20.0
"""From the restore's end until all probes must be through. What is not, is lost: stock Faust skips some there."""
PROBES = 200
"""Orders that wait on the source topic, of users in every partition: each answer shows that its profile came back."""


@dataclass(frozen=True, slots=True)
class Restored:
    """One engine's round."""

    profiles_per_s: float
    """Over the time that the engine itself says it restored."""
    ready_s: float
    """From the start of the process until all is restored and the first probe is processed."""
    rss_bytes_max: int
    faults: str

    def __str__(self) -> str:
        answer = f"WRONG: {self.faults}" if self.faults else "right"
        return f"{self.profiles_per_s:,.0f} profiles/s, ready after {self.ready_s:.1f} s, {answer}"


def changelog_records(changelog: Changelog, seed: int, count: int) -> Iterator[tuple[bytes, bytes]]:
    return ((changelog.key(user), orjson.dumps(counts)) for user, counts in profiles(seed, count))


def partition_keys(seed: int, count: int) -> Iterator[bytes]:
    return (user.encode() for user, _ in profiles(seed, count))


async def make_changelog(bench: Bench, engine: Engine, group: str, count: int, log: Path) -> None:
    """Writes `count` profiles as the engine itself would have left them."""
    bench.status.show(f"restore, {engine.title}: writing {count:,} profiles")
    if engine.changelog is None:
        command = bench.command(engine, "fill", group=group, profiles=count, seed=bench.seed)
        async with measured(engine.title, command, log) as filling:
            await filling.wait_for("filled", START_TIMEOUT_S + count / EVENTS_PER_S_MIN)
            await filling.finish(FINISH_TIMEOUT_S)
        return
    topic = engine.changelog.topic(group)
    await create_topic(bench.brokers, topic, compacted=True)
    records = changelog_records(engine.changelog, bench.seed, count)
    await fill(bench.brokers, topic, records, places=partition_keys(bench.seed, count))


async def make_probes(bench: Bench, topic: str, count: int) -> tuple[Truth, dict[str, int]]:
    """One order of each of some users; gives the truth about them and what was counted before."""
    truth = Truth()
    before: dict[str, int] = {}
    records: list[tuple[bytes, bytes]] = []
    every = max(1, count // PROBES)
    for number, (user, counts) in enumerate(profiles(bench.seed, count)):
        if number % every == 0 and len(before) < PROBES:
            before[user] = counts[ORDER]
            truth.add(user, ORDER)
            event = {"type": "track", "messageId": f"probe-{number}", "userId": user, "event": ORDER}
            records.append((user.encode(), orjson.dumps(event | {"timestamp": "2026-01-01T00:00:00.000Z"})))
    await create_topic(bench.brokers, topic)
    await fill(bench.brokers, topic, records)
    return truth, before


async def measure(bench: Bench, engine: Engine, name: str, count: int) -> Restored:
    place = bench.place(name)
    topic, out = f"{name}-events", f"{name}-out"
    truth, before = await make_probes(bench, topic, count)
    await create_topic(bench.brokers, out)
    await make_changelog(bench, engine, name, count, place / "fill.log")
    command = bench.command(
        engine, "count", topic=topic, out=out, group=name, data=place / "data", events=truth.events, warm=1
    )
    follow = bench.follow(f"restore, {engine.title}", count)
    async with measured(engine.title, command, place / "stderr.log", follow) as running:
        ended = await running.wait_for("restored", START_TIMEOUT_S + count / EVENTS_PER_S_MIN)
        begun = await running.wait_for("restoring", 0)
        first = await running.wait_for("warm", PROBES_TIMEOUT_S)
        with suppress(ProcessFailed):  # the answers below tell what is missing
            await running.wait_for("done", PROBES_TIMEOUT_S)
            await running.finish(FINISH_TIMEOUT_S)
    return Restored(
        profiles_per_s=count / (ended.t_s - begun.t_s),
        ready_s=max(first.t_s, ended.t_s) - running.spawned_at_s,
        rss_bytes_max=running.rss_bytes_max,
        faults=await faults(read(bench.brokers, out), truth, before),
    )


async def run(bench: Bench, *, count: int) -> str:
    """All rounds; gives the table."""
    able = [engine for engine in bench.engines if "restore" in engine.jobs]
    outcomes = await rounds(bench, "restore", able, lambda engine, name: measure(bench, engine, name, count))
    return report(able, outcomes, count)


def report(engines: Sequence[Engine], outcomes: Mapping[str, Sequence[Restored | Failed]], count: int) -> str:
    rows = []
    for engine in engines:
        runs = succeeded(outcomes[engine.name])
        figures = ["–"] * 3
        if runs:
            figures = [middle([run.profiles_per_s for run in runs]), middle([run.ready_s for run in runs], digits=1)]
            figures.append(f"{mebibytes(max(run.rss_bytes_max for run in runs)):,.0f}")
        verdict = answers({run.faults for run in runs}, failures(outcomes[engine.name]))
        rows.append([engine.title, f"{count:,}", *figures, verdict])
    return table(["engine", "profiles", "profiles/s", "start to ready, s", "memory, MiB, peak", "answers"], rows)
