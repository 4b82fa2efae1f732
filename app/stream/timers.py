"""Due index → timer records: each partition's timers go into its own log, so that firing is an event like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.clock import Clock
from app.kafka.admin import Admin
from app.observability import logs
from app.stages.timers import SourceProgress, TimerGate
from app.stream.firing import Fired, Firing, Serving
from app.stream.lane import Lane
from app.stream.passed import Passed
from app.stream.ticking import for_ever
from app.topics import Topics

log = logs.get("timers")

TICK_S = 0.1
"""How often due timers are looked for; together with the grace it bounds how late a flip is on an idle system."""


@dataclass(slots=True)
class _Pumped:
    """What is known of a partition from tick to tick."""

    gate: TimerGate
    fired: Fired = field(default_factory=Fired)


class TimerPump:
    """Fires the timers of every partition that this worker serves, and has profiles evaluated by changed definitions.

    Args:
        serving: The partitions of `profiles.in` that are restored, by number.
        sources: The lanes of `events.raw` that are this worker's, by partition.
        linker: The lane of `identity.links`, if it is this worker's.
        group: By whose committed offsets others' progress is known.
        firing: Into `profiles.in`.
        passed: Told how far time has passed, for the timers of accounts.
    """

    def __init__(
        self,
        topics: Topics,
        partitions: int,
        admin: Admin,
        clock: Clock,
        group: str,
        firing: Firing,
        passed: Passed,
        *,
        grace_ms: int,
        serving: Callable[[], Mapping[int, Serving]],
        sources: Callable[[], Mapping[int, Lane]],
        linker: Callable[[], Lane | None],
    ) -> None:
        self._topics = topics
        self._partitions = partitions
        self._admin = admin
        self._clock = clock
        self._group = group
        self._firing = firing
        self._passed = passed
        self._grace_ms = grace_ms
        self._serving = serving
        self._sources = sources
        self._linker = linker
        self._pumped: dict[int, _Pumped] = {}

    async def run(self) -> None:
        """For ever. A broker that does not answer makes timers late, no more."""
        await for_ever(lambda: asyncio.sleep(TICK_S), self.tick, log, "timers could not be fired and are tried again")

    async def tick(self) -> None:
        """Ask how far the log is, then fire what is due by then."""
        serving = self._serving()
        for gone in [partition for partition in self._pumped if partition not in serving]:
            del self._pumped[gone]
        for partition in serving:
            if partition not in self._pumped:
                self._pumped[partition] = _Pumped(TimerGate(self._grace_ms))
        gates = {partition: self._pumped[partition].gate for partition in serving}
        await self._ask([gate for gate in gates.values() if not gate.waiting])
        await self._ask_behind_link(gates)
        for partition, served in serving.items():
            pumped = self._pumped[partition]
            until_ms = pumped.gate.until_ms(served.lane.done_next or 0)
            await self._firing.fire(partition, served, pumped.fired, until_ms)
        self._passed.reached({partition: pumped.fired.passed_ms for partition, pumped in self._pumped.items()})
        if any(served.has_accounts for served in serving.values()):
            await self._passed.tell()

    async def _ask(self, gates: list[TimerGate]) -> None:
        """How far the sources are now, and what they have asked of the linker by then."""
        if not gates:
            return
        raw, links = self._topics.events_raw, (self._topics.identity_links, 0)
        asked_at_ms = self._clock.now_ms()
        ends = await self._admin.end_offsets([(raw, p) for p in range(self._partitions)])
        own = self._sources()
        others = [(raw, p) for p in range(self._partitions) if p not in own]
        committed = await self._admin.committed(self._group, others) if others else {}
        sources: list[SourceProgress] = []
        for p in range(self._partitions):
            lane = own.get(p)
            done = lane.done_next if lane is not None else committed[raw, p]
            at_ms = lane.done_at_ms if lane is not None else 0
            sources.append(SourceProgress(ends[raw, p], done or 0, at_ms))
        links_end = (await self._admin.end_offsets([links]))[links]
        for gate in gates:
            gate.found(sources, asked_at_ms, links_end)

    async def _ask_behind_link(self, gates: Mapping[int, TimerGate]) -> None:
        """Where the partitions end, as soon as all that was asked of the linker has been answered."""
        lane = self._linker()
        if lane is not None:
            done = lane.done_next
        else:
            links = (self._topics.identity_links, 0)
            done = (await self._admin.committed(self._group, [links]))[links]
        behind = {p: gate for p, gate in gates.items() if gate.awaits_end(done or 0)}
        if not behind:
            return
        ends = await self._admin.end_offsets([(self._topics.profiles_in, p) for p in behind])
        for p, gate in behind.items():
            gate.decided(done or 0, ends[self._topics.profiles_in, p])
