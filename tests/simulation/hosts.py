"""The lanes of a simulated stream: each a real stage with its store, what it reads, and what survives its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Generator, Mapping, Sequence
from random import Random
from typing import Any

from app.identity.rules import IdentityRules
from app.stages import envelope, link_state, links
from app.stages.account_timers import AccountGate
from app.stages.assignments import Assignments
from app.stages.assignments import apply as apply_assignments
from app.stages.compute import ComputeStage
from app.stages.link import LinkStage
from app.stages.overlay import Overlay
from app.stages.records import OutRecord, Work
from app.stages.resolve import ResolveStage
from app.stages.restoring import LogFacts, check, meta_of
from app.stages.restoring import apply as apply_changelog
from app.stages.timers import TimerGate
from app.stream.commit import commit
from app.topics import Collection, Topics
from tests.simulation.log import Log, Record
from tests.simulation.simple import SimpleResolveStage
from tests.simulation.store import SimStore

TOPICS = Topics()
EPOCH = "5eed5eed5eed"


class Pause:
    """Where a coroutine lets the scheduler choose what happens next."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Cluster:
    """What all hosts share."""

    def __init__(self, random: Random, partitions: int) -> None:
        self.random = random
        self.partitions = partitions
        self.log = Log()
        self.now_ms = 0
        self.taken: list[tuple[str, int]] = []
        """(message id, received at) of each message as it went straight, or was decided, in that order."""


class Host(ABC):
    """One partition's lane. A new one has yet to be started.

    Args:
        topic: Which it reads.
        changelog: Where it keeps its state; None where it has none, or where its source is that.
    """

    is_atomic = False
    """Whether a batch's changelog is one record batch: there as a whole or not at all."""

    def __init__(self, cluster: Cluster, topic: str, partition: int, changelog: str | None = None) -> None:
        self.cluster = cluster
        self.topic = topic
        self.partition = partition
        self.changelog = changelog
        self.committed = 0
        self.committable = 0
        self.position = 0
        self.running: list[tuple[Work, Coroutine[Any, Any, None]]] = []
        self.store = SimStore()
        self.overlay = Overlay(self.store)

    @property
    def has_more(self) -> bool:
        return self.position < self.cluster.log.end(self.topic, self.partition)

    def unread(self) -> list[Record]:
        """What of its source is not known to be done."""
        return self.cluster.log.partitions[self.topic, self.partition][self.committed :]

    def begin(self, size: int) -> None:
        """The next batch is computed, and its commit waits to be carried on."""
        records = self.cluster.log.read(self.topic, self.partition, self.position, size)
        work = self.process(records)
        # Not all that was offered need have been taken.
        self.position = min(work.src_next, records[-1].offset + 1)
        self.running.append((work, commit(work, Ports(self), lambda name: None)))

    def carry_on(self) -> None:
        """The oldest commit goes on to its next await."""
        work, running = self.running[0]
        try:
            running.send(None)
        except StopIteration:
            self.running.pop(0)
            self.done(work)

    def stop(self, random: Random, wipe: float) -> None:
        """It is killed, wherever its commits are."""
        for _, running in self.running:
            running.close()
        self.running.clear()
        self.position = self.committable = self.committed
        if random.random() < wipe:
            self.store = SimStore()
        else:
            self.store.crash(random)

    def start(self) -> None:
        """It has been assigned its partition: restore what it needs."""
        self.overlay = Overlay(self.store)

    @abstractmethod
    def process(self, records: Sequence[Record]) -> Work:
        """The work of a batch, or of its first records; nothing of it has left the host."""

    @abstractmethod
    def done(self, work: Work) -> None:
        """A batch has been committed."""

    def restorable(self) -> list[Record]:
        """What of the changelog is not in the store."""
        assert self.changelog is not None
        return self.cluster.log.read(self.changelog, self.partition, self.store.log_offset() + 1, 1 << 30)


class SimpleResolveHost(Host):
    """`events.raw` by the simple rule."""

    def __init__(self, cluster: Cluster, partition: int) -> None:
        super().__init__(cluster, TOPICS.events_raw, partition)
        self.done_at_ms = 0

    def start(self) -> None:
        self.stage: SimpleResolveStage | ResolveStage = SimpleResolveStage(
            TOPICS, self.partition, self.cluster.partitions, IdentityRules()
        )

    def process(self, records: Sequence[Record]) -> Work:
        return self.stage.process(records, self.cluster.now_ms)

    def done(self, work: Work) -> None:
        done = self.cluster.log.partitions[self.topic, self.partition][: self.committable]
        self.done_at_ms = max((record.timestamp for record in done), default=0)


class FeedHost(Host):
    """`identity.assignments`, which is its own changelog."""

    def __init__(self, cluster: Cluster, partition: int, rules: IdentityRules) -> None:
        super().__init__(cluster, TOPICS.identity_assignments, partition)
        self.rules = rules

    def start(self) -> None:
        super().start()
        self.known = Assignments(self.overlay, self.rules.link.version(), self.cluster.partitions)
        # It is read from where the store ends, and all that is there has been read before the partition serves.
        self.position = self.committable = self.store.log_offset() + 1
        records = self.cluster.log.read(self.topic, self.partition, self.position, 1 << 30)
        if records:
            apply_assignments(self.store, [(each.key, each.value) for each in records], records[-1].offset)
            self.known.reload()
            self.position = self.committable = records[-1].offset + 1

    def process(self, records: Sequence[Record]) -> Work:
        return self.known.process(records)

    def done(self, work: Work) -> None:
        self.overlay.pop()


class ResolveHost(SimpleResolveHost):
    """`events.raw`, with what its assignments say. The two live and die together."""

    def __init__(self, feeder: FeedHost) -> None:
        super().__init__(feeder.cluster, feeder.partition)
        self.feeder = feeder

    def start(self) -> None:
        read_next = self.cluster.log.end(self.topic, self.partition)
        self.stage = ResolveStage(TOPICS, self.partition, self.feeder.rules, self.feeder.known, read_next)

    def process(self, records: Sequence[Record]) -> Work:
        work = super().process(records)
        for (topic, _), outputs in work.outputs.items():
            for _, value, _ in outputs if topic == TOPICS.profiles_in else ():
                body = envelope.decode(value)
                assert type(body) is envelope.Event
                self.cluster.taken.append((body.id, body.at))
        return work


class LinkHost(Host):
    """`identity.links`, the only partition."""

    is_atomic = True

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster, TOPICS.identity_links, 0, TOPICS.identity_changelog)

    def start(self) -> None:
        if records := self.restorable():
            link_state.apply(self.store, [(each.key, each.value) for each in records], records[-1].offset)
        super().start()
        self.stage = LinkStage(TOPICS, self.cluster.partitions, self.overlay, epoch=EPOCH)
        assert self.stage.src_next >= self.committed

    def process(self, records: Sequence[Record]) -> Work:
        skipped_until = self.stage.src_next
        work = self.stage.process(records)
        for record in records:
            body = links.decode(record.value)
            if type(body) is links.Link and skipped_until <= record.offset < work.src_next:
                self.cluster.taken.append((body.id, body.at))
        return work

    def done(self, work: Work) -> None:
        if work.changelog:
            self.overlay.pop()


class ComputeHost(Host):
    """`profiles.in` or `accounts.in`, with the gate of its timers."""

    def __init__(self, cluster: Cluster, partition: int, collection: Collection = "users") -> None:
        of_users, of_accounts = TOPICS.profiles_changelog, TOPICS.accounts_changelog
        changelog = of_users if collection == "users" else of_accounts
        super().__init__(cluster, TOPICS.source_of(collection), partition, changelog)
        self.collection = collection

    def start(self) -> None:
        if records := self.restorable():
            apply_changelog(self.store, [(each.key, each.value) for each in records], records[-1].offset)
        log = self.cluster.log
        assert self.changelog is not None
        source_end, end = log.end(self.topic, self.partition), log.end(self.changelog, self.partition)
        check(self.partition, meta_of(self.store), LogFacts(self.topic, EPOCH, source_end, self.committed, 0, end))
        super().start()
        self.gate = TimerGate(0)
        self.account_gate = AccountGate()
        # A tiny cache, so that profiles come back from their bytes all the time.
        self.stage = ComputeStage(
            TOPICS, self.partition, self.cluster.partitions, self.overlay, epoch=EPOCH, cache_bytes=1_000,
            collection=self.collection,
        )  # fmt: skip

    def until_ms(self) -> int:
        """Up to when its timers may fire."""
        gate = self.gate if self.collection == "users" else self.account_gate
        return gate.until_ms(self.committable)

    def passed_ms(self) -> int:
        """Up to when, inclusive, all its timers have been applied, and what came of them is where it goes."""
        until_ms = self.until_ms()
        return next((due - 1 for due, _ in self.store.timers_until(until_ms, 1)), until_ms)

    def process(self, records: Sequence[Record]) -> Work:
        return self.stage.process(records)

    def done(self, work: Work) -> None:
        if work.changelog:
            self.overlay.pop()


class Ports:
    """The commit protocol's ports: every await is a place at which the host may be killed."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._cluster = host.cluster

    def still_mine(self) -> None:
        """There is one owner."""

    async def send(self, outputs: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        """To all partitions at once: in order in each, and in any order among them."""
        cluster, random = self._cluster, self._cluster.random
        left = {place: list(records) for place, records in outputs.items()}
        await Pause()
        while left:
            place = random.choice(list(left))
            for key, value, headers in left[place][: (size := random.randint(1, 4))]:
                cluster.log.append(*place, key, value, cluster.now_ms, headers, by=self._host.topic)
            left[place] = left[place][size:]
            if not left[place]:
                del left[place]
            if random.random() < 0.4:
                await Pause()
        await Pause()

    async def append(self, changelog: Sequence[tuple[bytes, bytes | None]]) -> int:
        host, cluster = self._host, self._cluster
        assert host.changelog is not None
        offset = -1
        await Pause()
        for key, value in changelog:
            if not host.is_atomic and cluster.random.random() < 0.3:
                await Pause()
            offset = cluster.log.append(host.changelog, host.partition, key, value, cluster.now_ms)
        await Pause()
        return offset

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        self._host.store.write(writes, log_offset)

    def committable(self, src_next: int) -> None:
        self._host.committable = max(self._host.committable, src_next)
