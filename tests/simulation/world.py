"""The whole stream in one thread: the real stages and the real commit protocol over a log of lists.

A seeded scheduler takes one step at a time: append the next event, resolve a batch, compute a batch, carry a commit on
by one await, fire timers, flush, commit offsets, crash. All follows from the seed: one that fails replays exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from app.definitions.model import Catalog
from app.identity.rules import IdentityRules
from app.profiles.seen import DAY_MS
from app.stages import envelope
from app.stages.compute import ComputeStage
from app.stages.overlay import Overlay
from app.stages.records import OutRecord, Work
from app.stages.resolve_simple import SimpleResolveStage
from app.stages.restoring import LogFacts, check, meta_of
from app.stages.restoring import apply as apply_changelog
from app.stages.timers import SourceProgress, TimerGate
from app.stream.commit import commit
from app.topics import Topics, partition_of
from tests.simulation.log import Log, Record
from tests.simulation.store import SimStore

TOPICS = Topics()
EPOCH = "5eed5eed5eed"
BATCH_MAX = 7


class Pause:
    """Where a coroutine lets the scheduler choose what happens next."""

    def __await__(self) -> Generator[None, None, None]:
        yield


@dataclass
class Arrival:
    at_ms: int
    partition: int
    value: bytes


@dataclass
class Faults:
    """Chances per step. A wiped disk has to be restored from the changelog alone."""

    crash: float = 0.0
    wipe: float = 0.0
    """Per crash and partition."""
    lag: float = 0.0
    """That time passes although there is work to do."""
    outage: float = 0.0
    """That nothing is resolved for a while, as when the stream is down and events wait in `events.raw`."""
    resend: bool = False
    """A producer sends some events twice."""


@dataclass
class Host:
    """One partition's worker: what survives a crash, and what does not."""

    name: str
    partition: int
    committed: int = 0
    committable: int = 0
    position: int = 0
    running: list[tuple[Work, Coroutine[Any, Any, None]]] = field(default_factory=list)


class World:
    """All hosts, the log and the clock.

    Args:
        grace_ms: Of the timers' gate.
    """

    def __init__(
        self, seed: int, catalog: Catalog, arrivals: Sequence[Arrival], until_ms: int, *, partitions: int = 2,
        faults: Faults | None = None,
    ) -> None:  # fmt: skip
        self.random = Random(seed)
        self.faults = faults or Faults()
        self.partitions = partitions
        self.log = Log()
        self.arrivals = list(arrivals)
        self.until_ms = until_ms
        self.now_ms = arrivals[0].at_ms if arrivals else until_ms
        self.crashes = 0
        self.restored: Callable[[World], None] = lambda world: None
        """Called after each crash, when every store has been restored and nothing has run yet."""
        self.outage_until_ms = 0
        self.received: list[Record] = []
        self.resolvers = [Host("resolve", p) for p in range(partitions)]
        self.computers = [Host("compute", p) for p in range(partitions)]
        self.stores = [SimStore() for _ in range(partitions)]
        self.gates = [TimerGate(0) for _ in range(partitions)]
        self.done_at = [0] * partitions
        self.resolve_stages = [self._resolve_stage(p) for p in range(partitions)]
        for p in range(partitions):
            self.log.append(TOPICS.profiles_in, p, None, envelope.catalog(catalog), self.now_ms)
        self.overlays: list[Overlay] = [Overlay(store) for store in self.stores]
        self.stages: list[ComputeStage] = [self._compute_stage(p) for p in range(partitions)]

    def _resolve_stage(self, partition: int) -> SimpleResolveStage:
        return SimpleResolveStage(TOPICS, partition, self.partitions, IdentityRules())

    def _compute_stage(self, partition: int) -> ComputeStage:
        # A tiny cache, so that profiles come back from their bytes all the time.
        return ComputeStage(
            TOPICS, partition, self.partitions, self.overlays[partition], epoch=EPOCH, cache_bytes=1_000
        )

    # the scheduler

    def run(self) -> None:
        """Until every event is applied, every timer up to the end has fired, and everything is at rest."""
        while True:
            steps = self._steps()
            if not steps:
                if self.now_ms >= self.until_ms:
                    return
                self._pass_time()
                continue
            if self.random.random() < self.faults.crash:
                self._crash()
                continue
            if self.random.random() < self.faults.outage:
                longest_ms = min(DAY_MS, (self.until_ms - self.now_ms) // 2)
                self.outage_until_ms = self.now_ms + self.random.randint(0, longest_ms)
            if self._may_lag() and self.random.random() < (
                0.5 if self.now_ms < self.outage_until_ms else self.faults.lag
            ):
                self._pass_time()
                continue
            self.random.choice(steps)()

    def _steps(self) -> list[Callable[[], None]]:
        steps: list[Callable[[], None]] = []
        if self.arrivals and self.arrivals[0].at_ms <= self.now_ms:
            steps.append(self._arrive)
        down = self.now_ms < self.outage_until_ms
        for host in self.computers if down else (*self.resolvers, *self.computers):
            if host.running:
                steps += [lambda host=host: self._carry_on(host)] * 3
            topic = TOPICS.events_raw if host.name == "resolve" else TOPICS.profiles_in
            # The next batch is computed while the last one is under way, and no further ahead.
            if len(host.running) < 2 and host.position < self.log.end(topic, host.partition):
                steps.append(lambda host=host, topic=topic: self._start(host, topic))
            if host.committed < host.committable:
                steps.append(lambda host=host: self._commit_offset(host))
        for partition in range(self.partitions):
            if self._may_fire(partition):
                steps.append(lambda partition=partition: self._fire(partition))
            if self.stores[partition].unflushed and self.random.random() < 0.05:
                steps.append(self.stores[partition].flush)
        return steps

    def _pass_time(self) -> None:
        """On to the next instant at which something may happen, whatever is left to do at this one."""
        self.now_ms = self._next_instant()

    def _next_instant(self) -> int:
        instants = [self.until_ms, *(arrival.at_ms for arrival in self.arrivals)]
        for store in self.stores:
            instants.extend(due for due, _ in store.timers_until(self.until_ms, 50))
        return min((instant for instant in instants if instant > self.now_ms), default=self.now_ms + 1)

    def _may_lag(self) -> bool:
        """Whether time may pass although there is work.

        Never for a sender, and for us no longer than seen ids are kept: a repeat has to come within their window, one
        that a crash makes by going back to what is committed too.
        """
        if self.arrivals and self.arrivals[0].at_ms <= self.now_ms:
            return False
        waiting = [
            records[host.committed].timestamp
            for host in self.resolvers
            if host.committed < len(records := self.log.partitions[TOPICS.events_raw, host.partition])
        ]
        next_ms = self._next_instant()
        return self.now_ms < self.until_ms and next_ms - min(waiting, default=next_ms) < 2 * DAY_MS

    # what happens

    def _arrive(self) -> None:
        arrival = self.arrivals.pop(0)
        for _ in range(2 if self.faults.resend and self.random.random() < 0.05 else 1):
            offset = self.log.append(TOPICS.events_raw, arrival.partition, None, arrival.value, self.now_ms)
            self.received.append(self.log.partitions[TOPICS.events_raw, arrival.partition][offset])

    def _start(self, host: Host, topic: str) -> None:
        records = self.log.read(topic, host.partition, host.position, self.random.randint(1, BATCH_MAX))
        host.position = records[-1].offset + 1
        work = self._process(host, records)
        host.running.append((work, commit(work, _Ports(self, host), lambda name: None)))

    def _process(self, host: Host, records: Sequence[Record]) -> Work:
        if host.name == "resolve":
            return self.resolve_stages[host.partition].process(records, self.now_ms)
        return self.stages[host.partition].process(records)

    def _carry_on(self, host: Host) -> None:
        work, running = host.running[0]
        try:
            running.send(None)
        except StopIteration:
            host.running.pop(0)
            if host.name == "compute" and work.changelog:
                self.overlays[host.partition].pop()
            if host.name == "resolve":
                done = self.log.partitions[TOPICS.events_raw, host.partition][: host.committable]
                self.done_at[host.partition] = max((record.timestamp for record in done), default=0)

    def _commit_offset(self, host: Host) -> None:
        host.committed = host.committable

    def _may_fire(self, partition: int) -> bool:
        gate = self.gates[partition]
        if not gate.waiting:
            sources = [
                SourceProgress(self.log.end(TOPICS.events_raw, p), self.resolvers[p].committable, self.done_at[p])
                for p in range(self.partitions)
            ]
            waiting = self.arrivals and self.arrivals[0].at_ms <= self.now_ms
            asked_at_ms = self.now_ms - 1 if waiting else self.now_ms
            gate.found(sources, asked_at_ms, self.log.end(TOPICS.profiles_in, partition))
        return bool(self._due(partition))

    def _due(self, partition: int) -> list[tuple[int, bytes]]:
        until_ms = self.gates[partition].until_ms(self.computers[partition].committable)
        waiting = {
            record.key
            for record in self.log.partitions[TOPICS.profiles_in, partition][self.computers[partition].committable :]
        }
        return [each for each in self.stores[partition].timers_until(until_ms, 3) if each[1] not in waiting]

    def _fire(self, partition: int) -> None:
        for due, profile in self._due(partition):
            assert partition_of(profile, self.partitions) == partition
            self.log.append(TOPICS.profiles_in, partition, profile, envelope.timer(due), self.now_ms)

    def _crash(self) -> None:
        """The stream's process is killed: every host at once, wherever its commits are."""
        self.crashes += 1
        for host in (*self.resolvers, *self.computers):
            for _, running in host.running:
                running.close()
            host.running.clear()
            host.position = host.committable = host.committed
        for partition, store in enumerate(self.stores):
            if self.random.random() < self.faults.wipe:
                self.stores[partition] = SimStore()
            else:
                store.crash(self.random)
            self.gates[partition] = TimerGate(0)
            self._restore(partition)
        self.restored(self)

    def _restore(self, partition: int) -> None:
        store = self.stores[partition]
        offset = store.log_offset() + 1
        records = self.log.read(TOPICS.profiles_changelog, partition, offset, 1 << 30)
        if records:
            apply_changelog(store, [(each.key, each.value) for each in records], records[-1].offset)  # type: ignore[arg-type]
        end = self.log.end(TOPICS.profiles_changelog, partition)
        source_end = self.log.end(TOPICS.profiles_in, partition)
        check(
            partition,
            meta_of(store),
            LogFacts(TOPICS.profiles_in, EPOCH, source_end, self.computers[partition].committed, 0, end),
        )
        self.overlays[partition] = Overlay(store)
        self.stages[partition] = self._compute_stage(partition)
        self.resolve_stages[partition] = self._resolve_stage(partition)

    # what came of it

    def changes(self) -> list[tuple[str, dict[str, Any]]]:
        """(id, data) of every record of `changes`, in order per partition."""
        return [
            (dict(record.headers)["ce_id"].decode(), orjson.loads(record.value or b""))
            for record in self.log.all_of(TOPICS.changes)
        ]


class _Ports:
    """The commit protocol's ports: every await is a place at which the process may be killed."""

    def __init__(self, world: World, host: Host) -> None:
        self._world = world
        self._host = host

    def still_mine(self) -> None:
        """There is one owner."""

    async def send(self, outputs: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        for (topic, partition), records in outputs.items():
            await Pause()
            for key, value, headers in records:
                self._world.log.append(topic, partition, key, value, self._world.now_ms, headers)
                if self._world.random.random() < 0.2:
                    await Pause()
        await Pause()

    async def append(self, changelog: Sequence[tuple[bytes, bytes | None]]) -> int:
        offset = -1
        await Pause()
        for key, value in changelog:
            if self._world.random.random() < 0.3:
                await Pause()
            offset = self._world.log.append(
                TOPICS.profiles_changelog, self._host.partition, key, value, self._world.now_ms
            )
        await Pause()
        return offset

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        self._world.stores[self._host.partition].write(writes, log_offset)

    def committable(self, src_next: int) -> None:
        self._host.committable = max(self._host.committable, src_next)
