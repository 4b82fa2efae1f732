"""Due index → timer records: each partition's timers go into its own log, so that firing is an event like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from app.clock import Clock
from app.kafka.admin import Admin
from app.kafka.producer import ProduceError, Producer
from app.observability import logs
from app.profiles.codec import CorruptProfile
from app.stages import envelope
from app.stages.timers import SourceProgress, TimerGate
from app.stream.lane import Lane
from app.stream.store import PartitionStore
from app.topics import Topics
from app.transport.fence import Fence

log = logs.get("timers")

TICK_S = 0.1
"""How often due timers are looked for; together with the grace it bounds how late a flip is on an idle system."""
FIRED_PER_TICK_MAX = 2_000
_JSON = (("content-type", b"application/json"),)


class TimerPump:
    """Fires the timers of every partition that this worker serves.

    Args:
        serving: The partitions of `profiles.in` that are restored, with store and lane.
        sources: The lanes of `events.raw` that are this worker's, by partition.
        committed: The group's committed offsets of `events.raw`, by partition, for those of other workers.
        fired: Told how many were fired.
    """

    def __init__(
        self,
        topics: Topics,
        partitions: int,
        admin: Admin,
        producer: Producer,
        clock: Clock,
        fence: Fence,
        group: str,
        *,
        grace_ms: int,
        serving: Callable[[], Mapping[int, tuple[PartitionStore, Lane]]],
        sources: Callable[[], Mapping[int, Lane]],
        failpoint: Callable[[str], None],
    ) -> None:
        self._topics = topics
        self._partitions = partitions
        self._admin = admin
        self._producer = producer
        self._clock = clock
        self._fence = fence
        self._group = group
        self._grace_ms = grace_ms
        self._serving = serving
        self._sources = sources
        self._failpoint = failpoint
        self._gates: dict[int, TimerGate] = {}
        self._fired: dict[int, set[tuple[int, bytes]]] = {}

    async def run(self) -> None:
        """For ever. A broker that does not answer makes timers late, no more."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.tick()
            except Exception as error:
                log.warning("timers could not be fired and are tried again", error=repr(error))

    async def tick(self) -> None:
        """Ask how far the log is, then fire what is due by then."""
        serving = self._serving()
        for gone in [partition for partition in self._gates if partition not in serving]:
            del self._gates[gone], self._fired[gone]
        for partition in serving:
            if partition not in self._gates:
                self._gates[partition], self._fired[partition] = TimerGate(self._grace_ms), set()
        await self._ask([partition for partition in serving if not self._gates[partition].waiting])
        for partition, (store, lane) in serving.items():
            until_ms = self._gates[partition].until_ms(lane.done_next or 0)
            try:
                await self._fire(partition, store, until_ms)
            except CorruptProfile as error:
                lane.damaged(error)

    async def _ask(self, partitions: list[int]) -> None:
        if not partitions:
            return
        raw, target = self._topics.events_raw, self._topics.profiles_in
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
        ends_in = await self._admin.end_offsets([(target, p) for p in partitions])
        for p in partitions:
            self._gates[p].found(sources, asked_at_ms, ends_in[target, p])

    async def _fire(self, partition: int, store: PartitionStore, until_ms: int) -> None:
        due = list(store.timers_until(until_ms, FIRED_PER_TICK_MAX))
        fired = self._fired[partition]
        fired.intersection_update(due)
        new = [timer for timer in due if timer not in fired]
        if not new:
            return
        self._fence.check(partition)
        try:
            await self._producer.send(
                {
                    (self._topics.profiles_in, partition): [
                        (profile, envelope.timer(due_ms), _JSON) for due_ms, profile in new
                    ]
                }
            )
        except ProduceError as error:
            log.warning("timers could not be fired and are tried again", partition=partition, error=str(error))
            return
        self._failpoint("after_timers_sent")
        fired.update(new)
