"""The whole stream in one thread: the real stages and the real commit protocol over a log of lists.

A seeded scheduler takes one step at a time: append the next event; begin a batch of `resolve`, `link`, `compute` or of
the assignments between them; carry a commit on by one await; fire timers, flush, commit offsets, kill. All follows from
the seed: one that fails replays exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from app.definitions.model import Catalog
from app.identity.rules import IdentityRules, LinkRules
from app.profiles.seen import DAY_MS
from app.profiles.store import SPLIT
from app.stages import envelope, links
from app.stages.compute import ComputeStage
from app.stages.recount import Recounted
from app.stages.timers import SourceProgress
from app.stages.under_way import UnderWay
from app.stream.splits import Message
from app.topics import partition_of
from tests.simulation.hosts import (
    TOPICS,
    Cluster,
    ComputeHost,
    FeedHost,
    Host,
    LinkHost,
    ResolveHost,
    SimpleResolveHost,
)
from tests.simulation.log import Record
from tests.simulation.remains import Remains
from tests.simulation.store import SimStore
from tests.stages.splits import carried_out, under_way

BATCH_MAX = 7

Group = Literal["all", "resolve", "link", "compute", "accounts"]
"""What is killed together: everything, or a partition of it."""


@dataclass
class Arrival:
    at_ms: int
    partition: int
    value: bytes


@dataclass(frozen=True)
class Faults:
    """Chances per step. A wiped disk has to be restored from the changelog alone."""

    crash: float = 0.0
    dies: tuple[Group, ...] = ("all", "resolve", "link", "compute")
    wipe: float = 0.0
    """Per crash and partition."""
    lag: float = 0.0
    """That time passes although there is work to do."""
    outage: float = 0.0
    """That nothing is resolved, or linked, or heard of `link`, for a while, as when the stream is down."""
    resend: bool = False
    """A producer sends some events twice."""
    slow: tuple[Literal["link", "news", "compute"], ...] = ()
    """Who does something only now and then: `link`; those who read assignments; the first partition of `compute`."""
    slow_commits: bool = False
    """Offsets are committed rarely, so that a restart of `resolve` passes on much of what it had passed on before."""
    change_rules: float = 0.0


class World(Cluster):
    """All hosts, the log and the clock.

    Args:
        catalog: None for a world without profiles: they are resolved, and that is all.
        rules: Of identity; None for the simple rule.
    """

    def __init__(
        self, seed: int, catalog: Catalog | None, arrivals: Sequence[Arrival], until_ms: int, *, partitions: int = 2,
        faults: Faults | None = None, rules: IdentityRules | None = None,
    ) -> None:  # fmt: skip
        super().__init__(Random(seed), partitions)
        self.faults = faults or Faults()
        self.arrivals = list(arrivals)
        self.until_ms = until_ms
        self.now_ms = arrivals[0].at_ms if arrivals else until_ms
        self.rules = [rules] if rules is not None else []
        """Those in force, and those before."""
        self.crashes = 0
        self.resolve_crashes = 0
        self.restored: Callable[[ComputeHost], None] = lambda host: None
        """Called with each that was killed, when it has been restored and nothing has run yet."""
        self.outage_until_ms = 0
        self.slow: list[Host] = []
        self.down: Sequence[Host] = ()
        self.received: list[Record] = []
        self.to_send: dict[tuple[int, str], list[Message]] = {}
        """Stage, what it has under way → what of the result is not sent yet, for as long as that worker lives."""
        self.recounts = 0
        """In which a message had counted for both, and no longer does."""
        self.stages: list[ComputeStage] = []
        """Of those, so that the id of each is nobody else's."""
        self.feeders = [FeedHost(self, p, rules) for p in range(partitions)] if rules is not None else []
        self.resolvers: list[SimpleResolveHost] = [ResolveHost(each) for each in self.feeders]
        self.resolvers = self.resolvers or [SimpleResolveHost(self, p) for p in range(partitions)]
        self.linkers = [LinkHost(self)] if rules is not None else []
        self.computers = [ComputeHost(self, p) for p in range(partitions)] if catalog is not None else []
        # Only where they are needed: other worlds are to have the schedules that they always had.
        of_accounts = catalog is not None and any(each.scope == "ACCOUNTS" for each in catalog.definitions)
        self.accounts = [ComputeHost(self, p, "accounts") for p in range(partitions)] if of_accounts else []
        for who in self.faults.slow:
            self.slow += {"link": self.linkers, "news": self.feeders, "compute": self.computers[:1]}[who]
        if rules is not None:
            self._announce(rules.link)
        if catalog is not None:
            for each in (*self.accounts, *self.computers):
                self.log.append(each.topic, each.partition, None, envelope.catalog(catalog), self.now_ms)
        for host in self.hosts:
            host.start()

    @property
    def hosts(self) -> list[Host]:
        """In the order in which they have to be started."""
        return [*self.feeders, *self.resolvers, *self.linkers, *self.computers, *self.accounts]

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
                down: list[Sequence[Host]] = [self.resolvers, self.linkers, self.feeders]
                self.down = self.random.choice([each for each in down if each])
            if self.random.random() < self.faults.change_rules:
                self._change_rules()
                continue
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
        slow = self.slow
        is_out = self.now_ms < self.outage_until_ms and self._is_in_window()
        for host in (*self.resolvers, *self.computers, *self.linkers, *self.feeders, *self.accounts):
            if is_out and host in self.down:
                continue
            more: list[Callable[[], None]] = []
            if host.running:
                more += [host.carry_on] * 3
            # The next batch is computed while the last one is under way, and no further ahead.
            if len(host.running) < 2 and host.has_more:
                more.append(lambda host=host: host.begin(self.random.randint(1, BATCH_MAX)))
            lazy = self.faults.slow_commits and self.random.random() < 0.95 and self._is_in_window()
            if host.committed < host.committable and not lazy:
                more.append(lambda host=host: self._commit_offset(host))
            if host.store.unflushed and self.random.random() < 0.05:
                more.append(host.store.flush)
            if not (host in slow and (steps or self._may_lag()) and self.random.random() < 0.95):
                steps += more
        steps += [
            lambda host=host: self._fire(host) for host in (*self.computers, *self.accounts) if self._may_fire(host)
        ]
        for host in self.computers:
            steps += [lambda host=host, each=each: self._carry_out(host, each) for each in self._under_way(host)]
        return steps

    def _pass_time(self) -> None:
        """On to the next instant at which something may happen, whatever is left to do at this one."""
        self.now_ms = self._next_instant()

    def _next_instant(self) -> int:
        instants = [self.until_ms]
        if self.arrivals:
            instants.append(max(self.arrivals[0].at_ms, self.now_ms + 1))
        for host in (*self.computers, *self.accounts):
            instants.extend(due for due, _ in host.store.timers_until(self.until_ms, 50))
        return min((instant for instant in instants if instant > self.now_ms), default=self.now_ms + 1)

    def _may_lag(self) -> bool:
        """Whether time may pass although there is work; for a sender it never does."""
        is_sent = bool(self.arrivals) and self.arrivals[0].at_ms <= self.now_ms
        return not is_sent and self.now_ms < self.until_ms and self._is_in_window()

    def _is_in_window(self) -> bool:
        """Whether what waits may wait on until something happens: no longer than seen ids are kept.

        A repeat has to come within their window, one that a crash makes by going back to what is committed too.
        """
        next_ms = self._next_instant()
        return next_ms - min(self._waiting_ms(), default=next_ms) < 2 * DAY_MS

    def _waiting_ms(self) -> list[int]:
        """Since when each host has had something to do, or to do again.

        Where profiles move, a message has more hosts on its way, and each has but a part of the time.
        """
        hosts: list[tuple[Host, int]] = [(host, DAY_MS if self.linkers else 0) for host in self.resolvers]
        hosts += [(host, 3 * DAY_MS // 2) for host in (*self.linkers, *(self.computers if self.linkers else ()))]
        hosts += [(host, 0) for host in self.accounts]
        return [unread[0].timestamp - used_ms for host, used_ms in hosts if (unread := host.unread())]

    # what happens

    def _arrive(self) -> None:
        arrival = self.arrivals.pop(0)
        for _ in range(2 if self.faults.resend and self.random.random() < 0.05 else 1):
            offset = self.log.append(TOPICS.events_raw, arrival.partition, None, arrival.value, self.now_ms)
            self.received.append(self.log.partitions[TOPICS.events_raw, arrival.partition][offset])

    def _under_way(self, host: ComputeHost) -> list[UnderWay]:
        """What is to be folded anew, and has not been sent by this worker."""
        if not any(key.startswith(SPLIT) for key in host.store.data):
            return []
        return [each for each in under_way(host.store) if self.to_send.get((id(host.stage), each.id)) != []]

    def _carry_out(self, host: ComputeHost, asked: UnderWay) -> None:
        """Something is folded anew, or one more of the results is sent."""
        place = id(host.stage), asked.id
        if place not in self.to_send:
            self.stages.append(host.stage)
            made, self.to_send[place] = carried_out(self.log, self.partitions, asked, host.store)
            self.recounts += isinstance(made, Recounted) and made.dropped > 0
            return
        profile, values = self.to_send[place].pop(0)
        key = profile.encode()
        for value in values:
            self.log.append(TOPICS.profiles_in, partition_of(key, self.partitions), key, value, self.now_ms)

    def _commit_offset(self, host: Host) -> None:
        host.committed = host.committable

    def _may_fire(self, host: ComputeHost) -> bool:
        for _ in range(2):  # the moment that was waited for may be done with, and then there is another to ask for
            self._ask(host)
            if self._due(host):
                return True
        return False

    def _ask(self, host: ComputeHost) -> None:
        if host.collection == "accounts":
            passed_ms = [each.passed_ms() for each in self.computers]
            host.account_gate.found(passed_ms, self.log.end(host.topic, host.partition))
            return
        gate = host.gate
        if not gate.waiting:
            sources = [
                SourceProgress(self.log.end(TOPICS.events_raw, each.partition), each.committable, each.done_at_ms)
                for each in self.resolvers
            ]
            waiting = self.arrivals and self.arrivals[0].at_ms <= self.now_ms
            asked_at_ms = self.now_ms - 1 if waiting else self.now_ms
            gate.found(sources, asked_at_ms, self.log.end(TOPICS.identity_links, 0))
        done_next = self.linkers[0].committable if self.linkers else 0
        if gate.awaits_end(done_next):
            gate.decided(done_next, self.log.end(TOPICS.profiles_in, host.partition))

    def _due(self, host: ComputeHost) -> list[tuple[int, bytes]]:
        due = list(host.store.timers_until(host.until_ms(), 3))
        waiting = due and {record.key for record in self.log.partitions[host.topic, host.partition][host.committable :]}
        return [each for each in due if each[1] not in waiting]

    def _fire(self, host: ComputeHost) -> None:
        until_ms = host.until_ms()
        for due, profile in self._due(host):
            assert partition_of(profile, self.partitions) == host.partition
            timer = envelope.timer(until_ms if host.collection == "accounts" else due)
            self.log.append(host.topic, host.partition, profile, timer, self.now_ms)

    def _crash(self) -> None:
        """A process is killed: with it everything, or a partition of something."""
        self.crashes += 1
        kind = self.random.choice(self.faults.dies)
        killed: Sequence[Host] = {
            "all": self.hosts, "link": self.linkers, "resolve": self._moves(), "compute": self.computers,
            "accounts": self.accounts,
        }[kind]  # fmt: skip
        self._kill([self.random.choice(killed)] if kind in ("link", "compute", "accounts") and killed else killed)

    def _moves(self) -> Sequence[Host]:
        """One partition of `events.raw`, and with it its assignments."""
        at = self.random.randrange(self.partitions)
        return [*self.feeders[at : at + 1], self.resolvers[at]]

    def _kill(self, killed: Sequence[Host]) -> None:
        self.resolve_crashes += any(host in self.resolvers for host in killed)
        for host in killed:
            host.stop(self.random, self.faults.wipe)
        for host in killed:
            host.start()
        for host in killed:
            if isinstance(host, ComputeHost):
                self.restored(host)

    def _announce(self, rules: LinkRules) -> None:
        self.log.append(TOPICS.identity_links, 0, None, links.rules(rules), self.now_ms)

    def _change_rules(self) -> None:
        """As an operator does: everything stops, the rules are announced, everything starts."""
        for host in self.resolvers:
            while host.running:
                host.carry_on()
            self._commit_offset(host)
        link_rules = LinkRules(priority=("email", "user_id"), max_merges=self.random.randint(1, 100))
        rules = replace(self.rules[-1], link=link_rules)
        self.rules.append(rules)
        self._announce(link_rules)
        for feeder in self.feeders:
            feeder.rules = rules
        self._kill([*self.feeders, *self.resolvers])

    # what came of it

    def remains(self) -> Remains:
        """All that there is, for whoever checks it."""
        return Remains(
            partitions=self.partitions,
            log=self.log,
            received=self.received,
            taken=self.taken,
            rules=self.rules,
            graph=self.linkers[0].store if self.linkers else SimStore(),
            known=[each.store for each in self.feeders],
            profiles={key: data for host in self.computers for key, data in host.store.profiles()},
            crashes=self.crashes,
            resolve_crashes=self.resolve_crashes,
        )
