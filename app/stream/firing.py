"""What is due in a partition's store goes into its own log: timers, and profiles that changed definitions concern."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.kafka.producer import ProduceError, Producer
from app.observability import logs
from app.profiles.codec import CorruptProfile
from app.stages import envelope
from app.stream.lane import Lane
from app.stream.store import PartitionStore
from app.stream.sweep import Sweep
from app.topics import JSON_HEADERS
from app.transport.fence import Fence

log = logs.get("timers")

FIRED_PER_TICK_MAX = 2_000
_FOREVER_MS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Serving:
    """A partition of `profiles.in` or `accounts.in` that is restored."""

    store: PartitionStore
    lane: Lane
    plan_version: int
    """Of the plan by which its next record is evaluated."""
    has_accounts: bool
    """Whether some definition of accounts is in force there."""


@dataclass(slots=True)
class Fired:
    """What is known of a partition from tick to tick."""

    sweep: Sweep = field(default_factory=Sweep)
    timers: dict[tuple[int, bytes], int] = field(default_factory=dict)
    """Timers that are in the log and were still due when last looked at, and behind which offset that is."""
    passed_ms: int = 0
    """Up to here, inclusive, all timers have been applied, or dead-lettered, and what came of them is where it goes."""


class Firing:
    """Fires in the partitions of one topic."""

    def __init__(self, topic: str, producer: Producer, fence: Fence, failpoint: Callable[[str], None]) -> None:
        self._topic = topic
        self._producer = producer
        self._fence = fence
        self._failpoint = failpoint

    async def fire(
        self, partition: int, served: Serving, fired: Fired, until_ms: int, *, at_once: bool = False
    ) -> None:
        """Append the timers that are due by an instant, and refreshes where the partition is not behind.

        A store that is damaged is mended by the partition's lane, before its next batch.

        Args:
            at_once: Whether time passes up to that instant for whomever a timer comes to, not only to the timer's own.
        """
        try:
            await self._timers(partition, served, fired, until_ms, at_once=at_once)
            await self._refreshes(partition, served, fired, until_ms)
        except CorruptProfile as error:
            served.lane.damaged(error)

    async def timers(self, partition: int, served: Serving, fired: Fired) -> None:
        """Append all timers that there are, whenever they are due."""
        try:
            await self._timers(partition, served, fired, _FOREVER_MS, at_once=False)
        except CorruptProfile as error:
            served.lane.damaged(error)

    async def _timers(self, partition: int, served: Serving, fired: Fired, until_ms: int, *, at_once: bool) -> None:
        # Asked before the store is: what is done by then has left the index. A timer that is still in it had no effect
        # but a dead letter. It is tried again after a restart; until then nobody waits for it.
        done_next = served.lane.done_next or 0
        dead = {timer for timer, behind in fired.timers.items() if behind <= done_next}
        due = list(served.store.timers_until(until_ms, FIRED_PER_TICK_MAX + len(dead)))
        fired.timers = {timer: fired.timers[timer] for timer in due if timer in fired.timers}
        # A timer stays in the index until what it did is acknowledged and written.
        first_ms = next((due_ms for due_ms, profile in due if (due_ms, profile) not in dead), None)
        fired.passed_ms = max(fired.passed_ms, first_ms - 1 if first_ms is not None else until_ms)
        new = [timer for timer in due if timer not in fired.timers]
        records = [(profile, envelope.timer(until_ms if at_once else due_ms)) for due_ms, profile in new]
        behind = await self._append(partition, records)
        if behind:
            self._failpoint("after_timers_sent")
            fired.timers.update(dict.fromkeys(new, behind))

    async def _refreshes(self, partition: int, served: Serving, fired: Fired, until_ms: int) -> None:
        # By the same clock: a profile must not be evaluated past an event that waits for it.
        if until_ms:
            refresh = envelope.refresh(until_ms)
            read_next, done_next = served.lane.read_next or 0, served.lane.done_next or 0
            stale = fired.sweep.stale(served.store, served.plan_version, read_next=read_next, done_next=done_next)
            if stale and not await self._append(partition, [(profile, refresh) for profile in stale]):
                fired.sweep = Sweep()

    async def _append(self, partition: int, records: Sequence[tuple[bytes, bytes]]) -> int:
        """Keys and values; behind which offset they are in the partition's log. 0 where they are not."""
        if not records:
            return 0
        self._fence.check(partition)
        try:
            _, last = await self._producer.append(self._topic, partition, records, JSON_HEADERS)
        except ProduceError as error:
            log.warning("timers could not be fired and are tried again", partition=partition, error=str(error))
            return 0
        return last + 1
