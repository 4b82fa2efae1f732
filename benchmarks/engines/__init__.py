"""The engines that are measured, behind one small interface: a command.

Each engine is a process, run in the project's folder:

    <command> count --brokers A --topic T --out O --group G --data D --events N --warm W

It counts N events of T by user and name, its state in RocksDB under D and in a changelog of its own, and produces to O,
for each `Order Completed`, an identify with the user's running count, `{"userId", "traits": {"orders": n}, …}`, bare or
as the `payload` of a delivery. Then it flushes, commits and ends with exit code 0. T and O exist, with four partitions;
D does not, its parent does.

`<command> shop …`, with the same options, keeps the definitions of `benchmarks.shop.definitions` for each user of T, a
record's timestamp being the time, and produces each change to O: `{"user", "key", "value"}`, or Headwater's CloudEvent.

On stdout it says, one JSON object a line, `{"event": …, "records": n, "t": monotonic seconds}`:

- `started`: the process runs.
- `restoring`, `restored`: reading the changelog back has begun, has ended. Only if there was something to read.
- `warm`: W events are processed; from here the clock runs.
- `progress`: now and then, for the eye.
- `done`: N events are processed.

Any other line is ignored.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.toolchain import JAVA_SHOP_SOURCE, kafka_streams, quix_python

HEADWATER = "benchmarks.engines.headwater"
WORKERS = "benchmarks.engines.workers"
HEADWATER_SHOP = "benchmarks.engines.shop"


@dataclass(frozen=True, slots=True)
class Changelog:
    """How an engine keeps a profile of the count job in its changelog, so that the harness can make one."""

    topic: Callable[[str], str]
    """Group → topic."""
    key: Callable[[str], bytes]
    """User id → key; the value is for every peer a JSON object, event name → count."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine; its command is made (compiled, installed) on first use."""

    name: str
    title: str
    command: Callable[[Path], tuple[str, ...]]
    """Cache directory → the words before the job's name."""
    share: float = 1.0
    """The share of the events it is given: below 1 for an engine that would take very long."""
    changelog: Changelog | None = None
    fills: bool = False
    """Whether it makes a changelog itself, by `fill --brokers A --group G --profiles N --seed S`."""
    jobs: tuple[str, ...] = ("count", "latency", "restore")
    """What it is measured at."""
    profiles: bool = False
    """Whether `profile …`, with the arguments of `count`, prints where its time goes, as text."""


def json_key(user: str) -> bytes:
    return orjson.dumps(user)


FAUST = Engine(
    name="faust",
    title="faust-streaming (stock)",
    command=lambda cache: (sys.executable, "-m", "benchmarks.peers.faust_count"),
    share=0.1,
    changelog=Changelog(topic="{}-counts-changelog".format, key=json_key),
)
QUIX = Engine(
    name="quix",
    title="Quix Streams",
    command=lambda cache: (str(quix_python(cache)), "-m", "benchmarks.peers.quix_count"),
    jobs=("count", "latency"),
)
KAFKA_STREAMS = Engine(
    name="kafka-streams",
    title="Kafka Streams",
    command=kafka_streams,
    changelog=Changelog(topic="{}-profiles-changelog".format, key=str.encode),
)
HEADWATER_ENGINE = Engine(
    name="headwater",
    title="Headwater",
    command=lambda cache: (sys.executable, "-m", HEADWATER),
    fills=True,
    profiles=True,
)
HEADWATER_WORKERS = Engine(
    name="headwater-2",
    title="Headwater, 2 workers",
    command=lambda cache: (sys.executable, "-m", WORKERS, "--workers", "2"),
    jobs=("count",),
)
KAFKA_STREAMS_THREADS = Engine(
    name="kafka-streams-2",
    title="Kafka Streams, 2 threads",
    command=lambda cache: kafka_streams(cache, threads=2),
    jobs=("count",),
)


def engines() -> list[Engine]:
    """Every engine, Headwater first."""
    return [HEADWATER_ENGINE, HEADWATER_WORKERS, KAFKA_STREAMS, KAFKA_STREAMS_THREADS, QUIX, FAUST]


def shop_engines() -> list[Engine]:
    """Those that do the shop job, Headwater first; each under the name that it has among `engines`."""
    python, two_hops = sys.executable, ("--workers", "2", "--module", HEADWATER_SHOP, "--hops", "2")
    commands: dict[Engine, Callable[[Path], tuple[str, ...]]] = {
        HEADWATER_ENGINE: lambda cache: (python, "-m", HEADWATER_SHOP),
        HEADWATER_WORKERS: lambda cache: (python, "-m", WORKERS, *two_hops),
        KAFKA_STREAMS: lambda cache: kafka_streams(cache, source=JAVA_SHOP_SOURCE),
        KAFKA_STREAMS_THREADS: lambda cache: kafka_streams(cache, threads=2, source=JAVA_SHOP_SOURCE),
        QUIX: lambda cache: (str(quix_python(cache)), "-m", "benchmarks.peers.quix_shop"),
    }
    return [Engine(engine.name, engine.title, command, jobs=("shop",)) for engine, command in commands.items()]
