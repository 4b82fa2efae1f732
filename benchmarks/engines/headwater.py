"""The count job on Headwater's own transport, lanes, commit protocol, store and restore, with every guarantee on.

Only the stage is the job's: whole batches in, one produce batch per partition and one RocksDB write batch out; profiles
carry the offset last applied and a checksum, repeats of a message id are turned away, outputs and changelog are acked
before the store is written, and the source offset is committed after that.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import io
import pstats
import signal
import sys
import time
from collections.abc import AsyncIterable, Mapping, Sequence
from pathlib import Path

import msgspec
import orjson
import uvloop

from app.clock import SystemClock
from app.kafka.admin import Admin, TopicSpec
from app.kafka.consumer import BulkReader
from app.kafka.producer import Producer
from app.profiles import codec
from app.profiles.seen import DAY_MS
from app.profiles.state import Profile
from app.profiles.store import META, PROFILE
from app.stages import restoring
from app.stages.cache import ProfileCache
from app.stages.meta import Meta
from app.stages.overlay import Overlay
from app.stages.records import InRecord, OutRecord, Work
from app.stages.restoring import LogFacts
from app.stages.seen import SeenWindow
from app.stream.lane import Lane, LaneLimits
from app.stream.lanes import Lanes
from app.stream.ports import StreamPorts
from app.stream.restore import Restore
from app.stream.store import PartitionStore, StoreBudget, StoreShare
from app.topics import Topics, partition_of
from app.transport.apps import AppOptions, BatchApp
from app.transport.batches import TP, Batch
from app.transport.fence import Fence
from benchmarks.engines.stages import stage_costs
from benchmarks.events import profiles
from benchmarks.peers.job import ORDER, Progress, identify, say

Job = argparse.Namespace
"""brokers, topic, out, group, data, events, warm; worker, where it is one of several."""

PARTITIONS = 4
BATCH_RECORDS = 24_000
"""More than the product's default: a topic that waits in full is to be caught up with."""
CACHE_BYTES = 8 << 20
"""Of decoded profiles, per partition."""
COMPUTE_S = 1.0
"""More than the product's default, for the same reason."""
LIMITS = LaneLimits(batch_records=BATCH_RECORDS, queued_records_max=4 * BATCH_RECORDS, compute_s=COMPUTE_S)
STEP = "step"
"""What a worker of several says after each batch: how many records it held."""
STEPS = ("compute", "outputs", "changelog", "store")
BUSY = ("compute", "store")
"""Steps that hold the event loop; the others wait while other partitions work."""


class Event(msgspec.Struct):
    """What the job needs of an event; the rest is passed over unread, as the Java peer does."""

    userId: str
    messageId: str
    event: str


class CountStage:
    """Folds one partition: counts by name, an output for each order."""

    def __init__(self, job: Job, partition: int, state: Overlay, epoch: str) -> None:
        self._out = job.out
        self._partition = partition
        self._state = state
        self._epoch = epoch
        self._bits = int(epoch[:8], 16)
        self._cache = ProfileCache(state, CACHE_BYTES)
        self._decode = msgspec.json.Decoder(Event).decode
        self.reload()

    def reload(self) -> None:
        """Forget everything that is not in the state."""
        held = self._state.get(META)
        self.meta = Meta.decode(held) if held is not None else Meta(epoch=self._epoch)
        self._cache.clear()
        self._seen = SeenWindow(self._state, self.meta)

    def process(self, records: Sequence[InRecord]) -> Work:
        """The work of a batch."""
        meta, cache, seen = self.meta, self._cache, self._seen
        work = Work(src_next=records[-1].offset + 1)
        parsed = [(record, self._decode(record.value or b"")) for record in records if record.offset >= meta.src_next]
        work.facts.records = len(records)
        if not parsed:
            return work
        keys = [event.userId.encode() for _, event in parsed]
        repeats = seen.take(
            (key, event.messageId, record.timestamp) for key, (record, event) in zip(keys, parsed, strict=True)
        )
        profiles_by_key = cache.load(keys)
        dirty: dict[bytes, Profile] = {}
        orders: list[OutRecord] = []
        for key, repeat, (record, event) in zip(keys, repeats, parsed, strict=True):
            profile = profiles_by_key[key]
            if record.offset <= profile.w:
                continue
            name = event.event
            if not repeat:
                profile.cells[name] = profile.cells.get(name, 0) + 1
                if name == ORDER:
                    orders.append((key, orjson.dumps(identify(event.userId, profile.cells[name])), ()))
            profile.w = record.offset
            dirty[key] = profile
        if orders:
            work.outputs[self._out, self._partition] = orders
        self._settle(work, dirty, records[-1].timestamp)
        return work

    def _settle(self, work: Work, dirty: Mapping[bytes, Profile], clock_ms: int) -> None:
        meta, writes, changelog = self.meta, work.writes, work.changelog
        for key, profile in dirty.items():
            data = codec.encode(profile, self._bits)
            self._cache.put(key, profile, len(data))
            writes[PROFILE + key] = data
            changelog.append((PROFILE + key, data))
        meta.clock_ms = max(meta.clock_ms, clock_ms)
        self._seen.settle(meta.clock_ms // DAY_MS, writes, changelog)
        meta.src_next = work.src_next
        encoded = meta.encode()
        writes[META] = encoded
        changelog.append((META, encoded))
        self._state.push(writes)


class CountEngine:
    """The stage with its store, as a lane drives it."""

    def __init__(self, run: Run, partition: int) -> None:
        self._run = run
        self._partition = partition
        self.store: PartitionStore | None = None
        self.stage: CountStage | None = None
        self._overlay: Overlay | None = None

    async def prepare(self) -> int:
        directory = self._run.directory / f"counts-{self._partition}"
        self.store = PartitionStore(directory, self._partition, self._run.share, self._run.clock.now_ms)
        restored = await self._run.restore.run(self._partition, self.store)
        self._overlay = Overlay(self.store)
        self.stage = CountStage(self._run.job, self._partition, self._overlay, restored.epoch)
        self._run.restored(self._partition, restored.records)
        return self.stage.meta.src_next

    async def admit(self) -> None:
        """Nothing holds it up."""

    def process(self, records: Sequence[InRecord]) -> Work:
        assert self.stage is not None
        return self.stage.process(records)

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        assert self.store is not None
        self.store.write(writes, log_offset)

    def done(self, work: Work) -> None:
        assert self._overlay is not None
        if work.changelog:
            self._overlay.pop()

    def drop(self) -> None:
        assert self._overlay is not None
        assert self.stage is not None
        self._overlay.clear()
        self.stage.reload()

    async def mend(self) -> None:
        raise AssertionError("a benchmark's store is new")

    def close(self) -> None:
        if self.store is not None:
            self.store.close()


class Run:
    """One measured process."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.directory = Path(job.data) / f"worker-{job.worker or 0}"
        self.clock = SystemClock()
        self.topics = Topics(f"{job.group}-")
        self.share = StoreShare(StoreBudget())
        self.producer = Producer(job.brokers)
        self.admin = Admin(job.brokers)
        self.lanes = Lanes(self._lane)
        self.app = BatchApp(
            AppOptions(
                job.group,
                self.directory.name,
                job.brokers,
                self.directory,
                poll_records=4 * BATCH_RECORDS,
                fetch_bytes_max=16 << 20,
            ),
            self.lanes,
        )
        self.fence = Fence(self.app.heartbeat_age_s, self.app.session_s)
        self.turn = asyncio.Lock()
        self.restore = Restore(
            self.topics.profiles_changelog,
            restoring.apply,
            lambda partition, store, facts: restoring.check(partition, restoring.meta_of(store), facts),
            BulkReader(job.brokers),
            self._facts,
            self.clock,
            lambda partition, done, total: None,
        )
        self.progress = Progress(events=job.events, warm=job.warm)
        self.finished = asyncio.Event()
        self.seconds = dict.fromkeys(STEPS, 0.0)
        self.batches = 0
        self._to_restore: set[int] = set(range(PARTITIONS))
        self._restored_records = 0

    async def go(self) -> None:
        """Count until all events are done, then commit and leave."""
        say("started")
        topic = TopicSpec(
            self.topics.profiles_changelog, PARTITIONS, 1, {"cleanup.policy": "compact", "max.message.bytes": "8388608"}
        )
        async with self.admin, self.producer:
            await self.admin.ensure_topics([topic])

            @self.app.agent(self.job.topic, "count")
            async def count(batches: AsyncIterable[Batch]) -> None:
                async for batch in batches:
                    self.lanes.offer(batch)

            await self.app.start()
            # A worker of several does not know when all is counted: it is told to stop.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.finished.set)
            await self.finished.wait()
            await self.lanes.checkpoint(list(self.lanes.all()))
            await self.app.stop()
            await self.lanes.close()

    def restored(self, partition: int, records: int) -> None:
        """Told of each partition that is back."""
        self._to_restore.discard(partition)
        self._restored_records += records
        if not self._to_restore and self._restored_records:
            say("restored", self._restored_records)

    def _lane(self, tp: TP, generation: int) -> Lane:
        engine = CountEngine(self, tp.partition)
        ports = StreamPorts(
            self.producer, self.topics.profiles_changelog, tp.partition, self.fence, engine.write,
            None, lambda name: None, self._step,
        )  # fmt: skip
        return Lane(
            f"count-{tp.partition}", engine, ports, LIMITS, self.turn,
            full=lambda full: self.app.hold(tp, full), fatal=_fatal, failpoint=lambda name: None,
            observe=self._observe, computed=lambda elapsed_s: self._step("compute", elapsed_s),
        )  # fmt: skip

    def _step(self, name: str, elapsed_s: float) -> None:
        self.seconds[name] += elapsed_s

    def _observe(self, work: Work, elapsed_s: float) -> None:
        self.batches += 1
        # Counted when a batch is committed to everything, not when it is computed.
        if self.job.worker is not None:
            say(STEP, work.facts.records)
        elif self.progress.step(work.facts.records):
            self.finished.set()

    async def _facts(self, partition: int) -> LogFacts:
        source, changelog = (self.job.topic, partition), (self.topics.profiles_changelog, partition)
        described = await self.admin.describe([self.job.topic])
        ends = await self.admin.end_offsets([source, changelog])
        starts = await self.admin.beginning_offsets([changelog])
        if ends[changelog] > starts[changelog] and len(self._to_restore) == PARTITIONS:
            say("restoring")
        return LogFacts(
            self.job.topic,
            described[self.job.topic].topic_id.replace("-", ""),
            ends[source],
            None,
            starts[changelog],
            ends[changelog],
        )


async def fill(brokers: str, group: str, count: int, seed: int) -> None:
    """A changelog as this engine would have left it."""
    topics = Topics(f"{group}-")
    spec = TopicSpec(
        topics.profiles_changelog, PARTITIONS, 1, {"cleanup.policy": "compact", "max.message.bytes": "8388608"}
    )
    source = f"{group}-events"
    async with Admin(brokers) as admin, Producer(brokers) as producer:
        await admin.ensure_topics([spec])
        epoch = (await admin.describe([source]))[source].topic_id.replace("-", "")
        batches: dict[int, list[tuple[bytes | None, bytes | None]]] = {p: [] for p in range(PARTITIONS)}
        for user, counts in profiles(seed, count):
            profile = Profile()
            profile.cells = dict(counts)
            partition = partition_of(user.encode(), PARTITIONS)
            batches[partition].append((PROFILE + user.encode(), codec.encode(profile, int(epoch[:8], 16))))
            if len(batches[partition]) >= 5_000:
                await producer.append(topics.profiles_changelog, partition, batches[partition])
                batches[partition].clear()
        for partition, rest in batches.items():
            rest.append((META, Meta(epoch=epoch).encode()))
            await producer.append(topics.profiles_changelog, partition, rest)
    say("filled", count)


async def profiled(job: Job) -> str:
    """Where a microsecond goes: the job's own steps, then the interpreter's."""
    run = Run(job)
    started_s, cpu_s = time.monotonic(), time.process_time()
    await run.go()
    wall_us = (time.monotonic() - started_s) * 1e6 / job.events
    cpu_us = (time.process_time() - cpu_s) * 1e6 / job.events
    rows = [f"{wall_us:6.2f} µs of wall time and {cpu_us:6.2f} µs of CPU an event, start and stop included"]
    rows += [
        f"{seconds * 1e6 / job.events:6.2f} µs  {name}" + ("" if name in BUSY else "  (waiting for acks)")
        for name, seconds in run.seconds.items()
    ]
    rows.append(f"{job.events / run.batches:6.0f} records a batch")
    rows += ["", "the product's own stages on the same events, in one process, without a broker (CPU time)"]
    rows += stage_costs(seed=1)
    return "\n".join(rows)


def traced(job: Job) -> str:
    """The functions that take the most time by themselves."""
    profile = cProfile.Profile()
    profile.enable()
    uvloop.run(Run(job).go())
    profile.disable()
    out = io.StringIO()
    pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(40)
    return out.getvalue()


def _fatal(error: Exception) -> None:
    print(f"the partition stops: {error!r}", file=sys.stderr, flush=True)
    raise SystemExit(1)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line: `count`, `profile` and `trace` with the job's arguments, `fill` with its own."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("count", "profile", "trace"):
        job = commands.add_parser(name)
        for text in ("brokers", "topic", "out", "group", "data"):
            job.add_argument(f"--{text}", required=True)
        for number in ("events", "warm"):
            job.add_argument(f"--{number}", type=int, required=True)
        job.add_argument("--worker", type=int)
    filling = commands.add_parser("fill")
    for text in ("brokers", "group"):
        filling.add_argument(f"--{text}", required=True)
    for number in ("profiles", "seed"):
        filling.add_argument(f"--{number}", type=int, required=True)
    return parser.parse_args(words)


def main() -> None:
    job = parse(sys.argv[1:])
    match job.command:
        case "count":
            uvloop.run(Run(job).go())
        case "profile":
            print(uvloop.run(profiled(job)))
        case "trace":
            print(traced(job))
        case "fill":
            uvloop.run(fill(job.brokers, job.group, job.profiles, job.seed))


if __name__ == "__main__":
    main()
