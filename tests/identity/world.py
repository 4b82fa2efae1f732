"""Resolve, link and the assignments between them in one thread: real stages, real commit protocol, a log of lists.

A seeded scheduler takes one step at a time: append the next event, begin a batch of some host, carry a commit on by one
await, commit an offset, flush, kill a host. All follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from app.identity.graph import Graph
from app.identity.rules import IdentityRules, LinkRules
from app.stages import link_state, links
from app.stages.assignments import Assignments
from app.stages.link import LinkStage
from app.stages.overlay import Overlay
from app.stages.records import InRecord, OutRecord, Work
from app.stages.resolve import ResolveStage
from app.stream.commit import commit
from app.topics import Topics
from tests.simulation.log import Log
from tests.simulation.store import SimStore
from tests.simulation.world import Pause

TOPICS = Topics()
PARTITIONS = 3
EPOCH = "e" * 8


@dataclass
class Faults:
    """Chances per step."""

    kill_link: float = 0.0
    kill_resolve: float = 0.0
    change_rules: float = 0.0
    slow_link: bool = False
    """It does something only when it must, or now and then."""
    slow_news: bool = False
    """So do those who read assignments: what a partition knows is old."""


@dataclass
class Host:
    """One lane: what it reads, and what survives a kill."""

    topic: str
    partition: int
    committed: int = 0
    committable: int = 0
    position: int = 0
    running: list[tuple[Work, Coroutine[Any, Any, None]]] = field(default_factory=list)
    store: SimStore = field(default_factory=SimStore)


class IdentityWorld:
    """All hosts and the log."""

    def __init__(self, seed: int, messages: Sequence[dict[str, Any]], rules: LinkRules, faults: Faults) -> None:
        self.random = Random(seed)
        self.faults = faults
        self.rules = [rules]
        self.log = Log()
        self.arrivals = [(self.random.randrange(PARTITIONS), message) for message in messages]
        self.pace = self.random.choice((0.1, 0.3, 1.0))
        """How often something may arrive before all that is there has been done."""
        self.now_ms = 1_000
        self.kills = 0
        self.resolvers = [Host(TOPICS.events_raw, p) for p in range(PARTITIONS)]
        self.feeders = [Host(TOPICS.identity_assignments, p) for p in range(PARTITIONS)]
        self.linker = Host(TOPICS.identity_links, 0)
        self.log.append(TOPICS.identity_links, 0, None, links.rules(rules), self.now_ms)
        self.overlays: dict[int, Overlay] = {}
        self.known: dict[int, Assignments] = {}
        self.resolve: dict[int, ResolveStage] = {}
        for p in range(PARTITIONS):
            self._start_resolve(p)
        self._start_link()

    # the scheduler

    def run(self) -> None:
        """Until all is read and committed."""
        while steps := self._steps():
            for chance, act in (
                (self.faults.kill_link, self._kill_link),
                (self.faults.kill_resolve, lambda: self._kill_resolve(self.random.randrange(PARTITIONS))),
                (self.faults.change_rules, self._change_rules),
            ):
                if self.random.random() < chance:
                    act()
                    break
            else:
                self.random.choice(steps)()

    def _steps(self) -> list[Callable[[], None]]:
        steps: list[Callable[[], None]] = [self._arrive] if self.arrivals and self.random.random() < self.pace else []
        for host in (*self.resolvers, *self.feeders, self.linker):
            more: list[Callable[[], None]] = []
            if host.running:
                more += [lambda host=host: self._carry_on(host)] * 3
            if len(host.running) < 2 and host.position < self.log.end(host.topic, host.partition):
                more.append(lambda host=host: self._begin(host))
            if host.committed < host.committable:
                more.append(lambda host=host: self._commit_offset(host))
            if host.store.unflushed and self.random.random() < 0.05:
                more.append(host.store.flush)
            slow = self.faults.slow_link if host is self.linker else self.faults.slow_news and host in self.feeders
            if not (slow and steps and self.random.random() < 0.95):
                steps += more
        return steps or ([self._arrive] if self.arrivals else [])

    def _arrive(self) -> None:
        partition, message = self.arrivals.pop(0)
        self.now_ms += self.random.randrange(3)
        self.log.append(TOPICS.events_raw, partition, None, orjson.dumps(message), self.now_ms)

    def _begin(self, host: Host) -> None:
        records = self.log.read(host.topic, host.partition, host.position, self.random.choice((1, 1, 2, 5, 20)))
        work = self._process(host, records)
        host.position = work.src_next
        host.running.append((work, commit(work, _Ports(self, host), lambda name: None)))

    def _process(self, host: Host, records: Sequence[InRecord]) -> Work:
        if host is self.linker:
            return self.link.process(records)
        if host.topic == TOPICS.events_raw:
            return self.resolve[host.partition].process(records, self.now_ms)
        return self.known[host.partition].process(records)

    def _carry_on(self, host: Host) -> None:
        work, running = host.running[0]
        try:
            running.send(None)
        except StopIteration:
            host.running.pop(0)
            if host is self.linker and work.changelog:
                self.overlay.pop()
            if host in self.feeders:
                self.overlays[host.partition].pop()

    def _commit_offset(self, host: Host) -> None:
        host.committed = host.committable

    # kills and starts

    def _stop(self, host: Host) -> None:
        for _, running in host.running:
            running.close()
        host.running.clear()
        host.position = host.committable = host.committed
        if self.random.random() < 0.3:
            host.store = SimStore()
        else:
            host.store.crash(self.random)

    def _kill_link(self) -> None:
        self.kills += 1
        self._stop(self.linker)
        self._start_link()

    def _start_link(self) -> None:
        store = self.linker.store
        records = self.log.read(TOPICS.identity_changelog, 0, store.log_offset() + 1, 1 << 30)
        if records:
            link_state.apply(store, [(each.key, each.value) for each in records], records[-1].offset)
        self.overlay = Overlay(store)
        self.link = LinkStage(TOPICS, PARTITIONS, self.overlay, epoch=EPOCH)
        assert self.link.src_next >= self.linker.committed

    def _kill_resolve(self, partition: int) -> None:
        """One partition of `events.raw` moves: with it its assignments."""
        self.kills += 1
        self._stop(self.resolvers[partition])
        self._stop(self.feeders[partition])
        self._start_resolve(partition)

    def _start_resolve(self, partition: int) -> None:
        rules = self.rules[-1]
        feeder = self.feeders[partition]
        overlay = self.overlays[partition] = Overlay(feeder.store)
        known = self.known[partition] = Assignments(overlay, rules.version(), PARTITIONS)
        self.resolve[partition] = ResolveStage(TOPICS, partition, IdentityRules(link=rules), known)
        # The topic is the store's changelog: it is read from where the store ends. All that is there has been read
        # before the partition serves.
        feeder.position = feeder.committable = feeder.store.log_offset() + 1
        records = self.log.read(feeder.topic, partition, feeder.position, 1 << 30)
        if records:
            work = known.process(records)
            feeder.store.write(work.writes, work.src_next - 1)
            overlay.pop()
            feeder.position = feeder.committable = work.src_next

    def _change_rules(self) -> None:
        """As an operator does: everything stops, the rules are announced, everything starts."""
        for host in self.resolvers:
            while host.running:
                self._carry_on(host)
            self._commit_offset(host)
        rules = LinkRules(priority=("email", "user_id"), max_merges=self.random.randint(1, 100))
        self.rules.append(rules)
        self.log.append(TOPICS.identity_links, 0, None, links.rules(rules), self.now_ms)
        for partition in range(PARTITIONS):
            self._kill_resolve(partition)

    def graph(self) -> Graph:
        """What the link store holds."""
        found = Graph(self.rules[-1])
        everything = [
            key[len(link_state.INDEX) :] for key in self.linker.store.data if key.startswith(link_state.INDEX)
        ]
        pairs = [tuple(key.decode().split(":", 1)) for key in everything]
        link_state.load(found, self.linker.store, pairs)  # type: ignore[arg-type]
        return found


class _Ports:
    """The commit protocol's ports: every await is a place at which the host may be killed."""

    def __init__(self, world: IdentityWorld, host: Host) -> None:
        self._world = world
        self._host = host

    def still_mine(self) -> None:
        """There is one owner."""

    async def send(self, outputs: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        """To all partitions at once: in order in each, and in any order among them."""
        random = self._world.random
        left = {place: list(records) for place, records in outputs.items()}
        while left:
            place = random.choice(list(left))
            for _ in range(random.randint(1, 4)):
                if left[place]:
                    key, value, headers = left[place].pop(0)
                    self._world.log.append(*place, key, value, self._world.now_ms, headers)
            if not left[place]:
                del left[place]
            if random.random() < 0.3:
                await Pause()
        await Pause()

    async def append(self, changelog: Sequence[tuple[bytes, bytes | None]]) -> int:
        """One record batch: it is there as a whole or not at all."""
        await Pause()
        offset = -1
        for key, value in changelog:
            offset = self._world.log.append(TOPICS.identity_changelog, 0, key, value, self._world.now_ms)
        await Pause()
        return offset

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        self._host.store.write(writes, log_offset)

    def committable(self, src_next: int) -> None:
        self._host.committable = max(self._host.committable, src_next)
