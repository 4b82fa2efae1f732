"""The shop job on Headwater: the stream worker itself, its definitions in force, over the job's topics.

Everything runs as in `headwater worker stream`: resolve, `profiles.in`, compute, timers, the commit protocol, store and
changelog, each change a CloudEvent. Only two topics have other names, that all engines may read one and the harness may
find the other; and batches are larger than by default, because a topic that waits in full is to be caught up with.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import uvloop

from app.cli import topics_setup
from app.definitions.checker import compile_ready
from app.observability import logs
from app.settings import DefinitionText, Kafka, Settings, WorkerOptions
from app.settings.model import Stream
from app.stages.records import InRecord, Work
from app.stream.announce import announce
from app.stream.engines import ComputeEngine, ResolveEngine
from app.stream.lane import Engine, Lane
from app.stream.ports import StreamPorts
from app.stream.runtime import Runtime
from app.topics import Topics
from app.transport.batches import TP
from benchmarks.engines.headwater import STEP
from benchmarks.engines.hops import PASSED, Hops
from benchmarks.events import PARTITIONS
from benchmarks.peers.job import say
from benchmarks.shop.definitions import DEFINITIONS

BATCH_RECORDS = 8_000
EVENT = b'{"kind":"event"'
"""How an event's record of `profiles.in` begins; timers have another kind."""


@dataclass(frozen=True, slots=True)
class ShopTopics(Topics):
    """A deployment of its own, but for the job's source and output."""

    source: str = ""
    out: str = ""

    @property
    def events_raw(self) -> str:
        return self.source

    @property
    def changes(self) -> str:
        return self.out


class Followed:
    """An engine that tells of the events that it has committed to everything.

    Args:
        events: How many of a batch's records were events, done for the first time.
    """

    def __init__(
        self, engine: Engine, events: Callable[[Sequence[InRecord], Work], int], done: Callable[[int], None]
    ) -> None:
        self._engine = engine
        self._events = events
        self._done = done
        self._computed: deque[int] = deque()
        self.prepare = engine.prepare
        self.admit = engine.admit
        self.mend = engine.mend
        self.close = engine.close

    def process(self, records: Sequence[InRecord]) -> Work:
        work = self._engine.process(records)
        self._computed.append(self._events(records, work))
        return work

    def done(self, work: Work) -> None:
        self._engine.done(work)
        self._done(self._computed.popleft())

    def drop(self) -> None:
        self._engine.drop()
        self._computed.clear()


def passed_on(records: Sequence[InRecord], work: Work) -> int:
    return len(records)


def computed(records: Sequence[InRecord], work: Work) -> int:
    """Without timers, and without what a rebalance has had passed on or computed twice."""
    events = sum((record.value or b"").startswith(EVENT) for record in records)
    return max(0, events - work.facts.repeats - work.facts.skipped)


class ShopRuntime(Runtime):
    """One stream worker whose two hops are followed."""

    def __init__(
        self,
        settings: Settings,
        options: WorkerOptions,
        topics: Topics,
        passed: Callable[[int], None],
        done: Callable[[int], None],
    ) -> None:
        super().__init__(settings, options)
        self.topics = topics
        self._passed = passed
        self._done = done

    def _new_lane(self, tp: TP, engine: Engine, ports: StreamPorts) -> Lane:
        lane = super()._new_lane(tp, engine, ports)
        if isinstance(engine, ComputeEngine):
            lane.engine = Followed(engine, computed, self._done)
        elif isinstance(engine, ResolveEngine):
            lane.engine = Followed(engine, passed_on, self._passed)
        return lane


def settings_of(job: argparse.Namespace) -> Settings:
    """A configuration of the job's definitions, under a prefix of its own.

    Raises:
        DefinitionError: for the first that this version refuses; without it the others would seem fast.
    """
    _, refused = compile_ready(DEFINITIONS)
    for error in refused:
        raise error
    texts = {kind: [each for each in DEFINITIONS if each.kind == kind] for kind in ("audience", "trait")}
    return Settings(
        kafka=Kafka(brokers=job.brokers, topic_prefix=f"{job.group}-", partitions=PARTITIONS),
        audiences=tuple(DefinitionText(each.key, each.query) for each in texts["audience"]),
        traits=tuple(DefinitionText(each.key, each.query) for each in texts["trait"]),
        stream=Stream(batch_records=BATCH_RECORDS),
    )


async def run(job: argparse.Namespace) -> None:
    """Serve until all events are done, or until told to stop; then leave as a worker does."""
    say("started")
    name = f"worker-{job.worker or 0}"
    data = Path(job.data)
    settings = settings_of(job)
    await topics_setup.ensure(settings, job.brokers)
    await announce(settings, job.brokers)  # by each worker before it begins: twice is harmless
    finished = asyncio.Event()
    hops = Hops(2, events=job.events, warm=job.warm)

    def passed(events: int) -> None:
        if job.worker is not None:
            say(PASSED, events)
        else:
            hops.passed(events)

    def done(events: int) -> None:
        if job.worker is not None:
            say(STEP, events)
        elif hops.done(events):
            finished.set()

    async def serve() -> int:
        async with AsyncExitStack() as stack:
            options = WorkerOptions(data, job.brokers, name, data / "none.yaml")
            topics = ShopTopics(settings.kafka.topic_prefix, job.topic, job.out)
            return await ShopRuntime(settings, options, topics, passed, done).serve(stack)

    # A worker of several does not know when all is done: it is told to stop.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, finished.set)
    serving, waiting = asyncio.create_task(serve()), asyncio.create_task(finished.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if serving.done():
        raise SystemExit(f"the worker ended with exit code {serving.result()}")
    serving.cancel()
    (left,) = await asyncio.gather(serving, return_exceptions=True)
    if isinstance(left, Exception):  # being cancelled is none
        raise left


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["shop"])
    for text in ("brokers", "topic", "out", "group", "data"):
        parser.add_argument(f"--{text}", required=True)
    for number in ("events", "warm"):
        parser.add_argument(f"--{number}", type=int, required=True)
    parser.add_argument("--worker", type=int)
    return parser.parse_args(words)


def main() -> None:
    job = parse(sys.argv[1:])
    logs.configure("stream")
    uvloop.run(run(job))


if __name__ == "__main__":
    main()
