"""`python -m benchmarks`: run the jobs on every engine and rewrite the tables of benchmarks/README.md."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from app.embedded.jars import BROKER_LOCK
from benchmarks import count, identity, latency, restore, stages
from benchmarks.bench import Bench, Status
from benchmarks.cluster import delete_topics
from benchmarks.delivery import job as delivery
from benchmarks.engines import Engine, engines, shop_engines
from benchmarks.machine import locked, provenance, resident_mib
from benchmarks.process import ProcessFailed
from benchmarks.report import write_section
from benchmarks.shop import growth
from benchmarks.shop import job as shop
from benchmarks.toolchain import cache_directory

SECTIONS = ("count", "shop", "growth", "latency", "restore", "profile", "identity", "delivery")


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything one run does."""

    events: int
    warm_events: int
    latency_s: int
    profiles: int
    identified: int
    live_s: int
    rounds: int
    messages: int
    neighbour_s: int
    shop_events: int
    shop_warm_events: int


FULL = Size(
    events=500_000, warm_events=100_000, latency_s=30, profiles=500_000, identified=120_000, live_s=60,
    rounds=3, messages=40_000, neighbour_s=20, shop_events=300_000, shop_warm_events=60_000,
)  # fmt: skip
QUICK = Size(
    events=40_000, warm_events=10_000, latency_s=5, profiles=20_000, identified=6_000, live_s=15,
    rounds=1, messages=2_000, neighbour_s=2, shop_events=20_000, shop_warm_events=5_000,
)  # fmt: skip


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    names = [engine.name for engine in engines()]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes, to see that all works; writes nothing")
    parser.add_argument("--only", type=listed(SECTIONS), default=SECTIONS, help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--engines", type=listed(names), default=names, help=f"of {','.join(names)}")
    parser.add_argument(
        "--events", type=int, help=f"measured events of count and shop ({FULL.events:,}, {FULL.shop_events:,})"
    )
    parser.add_argument("--rounds", type=int, help=f"rounds, of which the median counts ({FULL.rounds})")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--brokers", help="a Kafka that runs already, instead of the embedded one")
    parser.add_argument("--no-write", action="store_true", help="print the tables, leave README.md as it is")
    return parser.parse_args(words)


def listed(names: Sequence[str]) -> Callable[[str], list[str]]:
    """An argument's type: a comma-separated choice of names, given back in the order of the whole list."""

    def choose(words: str) -> list[str]:
        chosen = words.split(",")
        unknown = [word for word in chosen if word not in names]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(names)}")
        return [name for name in names if name in chosen]

    return choose


@asynccontextmanager
async def kafka(brokers: str | None, directory: Path, prefix: str) -> AsyncIterator[tuple[str, Callable[[], str]]]:
    """The address of the embedded broker, or of the given one; there the run's topics are deleted at the end.

    Also what the broker's memory is at the time of asking, as a line under a table.
    """
    if brokers is None:
        from app.embedded.broker import EmbeddedBroker

        embedded = EmbeddedBroker(directory)
        await embedded.start()
        try:
            yield embedded.bootstrap, lambda: f"- the broker's memory then: {resident_mib(embedded.pid):,.0f} MiB"
        finally:
            await embedded.stop()
    else:
        try:
            yield brokers, lambda: "- the broker's memory: not measured"
        finally:
            await delete_topics(brokers, prefix)


async def sections(bench: Bench, only: Sequence[str], size: Size) -> AsyncIterator[tuple[str, str]]:
    """Each section's name and its table, as soon as it is measured."""
    if "count" in only:
        yield "count", await count.run(bench, events_after_warm=size.events, warm=size.warm_events)
    if "shop" in only:
        yield "shop", await shop.run(shop_bench(bench), events_after_warm=size.shop_events, warm=size.shop_warm_events)
    if "growth" in only:
        bench.status.show("growth")
        yield "growth", growth.run(bench.seed, bench.rounds)
    if "latency" in only:
        yield "latency", await latency.run(bench, seconds=size.latency_s)
    if "restore" in only:
        yield "restore", await restore.run(bench, count=size.profiles)
    if "identity" in only:
        yield "identity", await identity.run(bench, messages=size.identified, live_s=size.live_s)
    if "delivery" in only:
        yield "delivery", await delivery.run(bench, messages=size.messages, seconds=size.neighbour_s)
    for engine in bench.engines:
        if "profile" in only and engine.profiles:
            source = await count.make_source(
                bench, "events-profile", events_after_warm=size.events, warm=size.warm_events
            )
            try:
                yield "profile", await stages.run(bench, engine, source)
            except ProcessFailed as failure:
                bench.status.tell(str(failure))


def shop_bench(bench: Bench) -> Bench:
    """The run with those engines that do the shop job, under their commands for it."""
    names = {engine.name for engine in bench.engines}
    able = [engine for engine in shop_engines() if engine.name in names]
    return replace(bench, engines=able, commands=prepare(able, bench.status))


def prepare(chosen: Sequence[Engine], status: Status) -> dict[str, Sequence[str]]:
    """Each engine's command; compiles and installs what is not there yet."""
    commands: dict[str, Sequence[str]] = {}
    for engine in chosen:
        status.show(f"preparing {engine.title}")
        commands[engine.name] = engine.command(cache_directory())
    return commands


async def main(arguments: argparse.Namespace) -> None:
    task = asyncio.current_task()
    assert task is not None
    # As Ctrl-C does: engines and broker are stopped, their files removed.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    status = Status()
    default = QUICK if arguments.quick else FULL
    events = arguments.events or default.events
    shop_events = arguments.events or default.shop_events
    size = Size(
        events=events,
        warm_events=min(default.warm_events, events),
        latency_s=default.latency_s,
        profiles=default.profiles,
        identified=default.identified,
        live_s=default.live_s,
        rounds=arguments.rounds or default.rounds,
        messages=default.messages,
        neighbour_s=default.neighbour_s,
        shop_events=shop_events,
        shop_warm_events=min(default.shop_warm_events, shop_events),
    )
    chosen = [engine for engine in engines() if engine.name in arguments.engines]
    commands = prepare(chosen, status)
    prefix = f"bench-{os.getpid()}"
    broker = "of your own" if arguments.brokers else f"Apache Kafka {locked(BROKER_LOCK, 'kafka_2.13')} (embedded)"
    # Before the first section rewrites README.md and so makes the tree differ from its commit.
    origin = provenance(broker=broker, seed=arguments.seed, rounds=size.rounds)
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as scratch:
        work = Path(scratch)
        async with kafka(arguments.brokers, work / "broker", prefix) as (address, memory):
            bench = Bench(address, prefix, work, arguments.seed, size.rounds, chosen, commands, status)
            async for section, body in sections(bench, arguments.only, size):
                text = f"{body}\n\n{origin}\n{memory()}"
                print(f"\n## {section}\n\n{text}", flush=True)
                if not (arguments.quick or arguments.no_write):
                    write_section(section, text)


if __name__ == "__main__":
    try:
        asyncio.run(main(parse()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
