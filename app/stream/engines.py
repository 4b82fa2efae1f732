"""The stream's stages, each with what it stands on: one partition's engine, as its lane drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from app.clock import Clock
from app.identity.rules import IdentityRules
from app.observability import logs
from app.profiles.seen import DAY_MS
from app.stages.assignments import Assignments
from app.stages.compute import ComputeStage
from app.stages.link import LinkStage
from app.stages.overlay import Overlay
from app.stages.records import InRecord, Work
from app.stages.resolve import ResolveStage
from app.stream.restore import Restored
from app.stream.state_engine import Home, StateEngine
from app.topics import Collection, Topics

log = logs.get("resolve")

AHEAD_MAX = 1_000
"""How many messages may be with `link` before a resolver waits until all are answered. What has anything in common with
one that is out goes the slow way behind it: in a topic that waits in full, nearly everything would."""
UNANSWERED_MAX = 200_000
"""The same where `link` does not answer at all: so many are held in memory."""
SILENCE_S = 5.0
"""After so long without any answer a resolver goes on until there is one: what is known needs no `link`."""


class AssignmentsEngine(StateEngine):
    """One partition of `identity.assignments`, which is its own changelog: what a partition of `events.raw` knows.

    Args:
        ready: Called with what is known, once it is whole; and anew when the store had to be mended.
        told: Called with the partition when more is known.
    """

    def __init__(
        self,
        home: Home,
        version: str,
        partitions: int,
        ready: Callable[[int, Assignments], None],
        told: Callable[[int], None],
    ) -> None:
        super().__init__(home)
        self._version = version
        self._partitions = partitions
        self._ready = ready
        self._told = told
        self._known: Assignments | None = None

    def _begin(self, overlay: Overlay, restored: Restored) -> int:
        self._known = Assignments(overlay, self._version, self._partitions)
        self._ready(self._home.partition, self._known)
        return restored.log_end

    def _reload(self) -> None:
        assert self._known is not None
        self._known.reload()

    def process(self, records: Sequence[InRecord]) -> Work:
        assert self._known is not None
        work = self._known.process(records)
        self._told(self._home.partition)
        return work


class ResolveEngine:
    """The resolve stage of one partition of `events.raw`. It keeps nothing; what it knows is the assignments'.

    Args:
        known: Waits for what the partition knows.
        start: Where the group stands in it, and where it ends. Asked of the broker, because a partition to which
            nothing new comes would never say so by itself: it would seem to lag for ever, and hold up everybody's
            timers.
    """

    def __init__(
        self,
        topics: Topics,
        partition: int,
        rules: IdentityRules,
        clock: Clock,
        *,
        known: Callable[[], Awaitable[Assignments]],
        start: Callable[[], Awaitable[tuple[int, int]]],
    ) -> None:
        self._topics = topics
        self._partition = partition
        self._rules = rules
        self._clock = clock
        self._known = known
        self._start = start
        self._stage: ResolveStage | None = None
        self._told = asyncio.Event()
        self._silent = False
        """Whether `link` has let the last wait pass without an answer."""

    async def prepare(self) -> int | None:
        known = await self._known()
        start, end = await self._start()
        self._stage = ResolveStage(self._topics, self._partition, self._rules, known, end)
        return start

    def know(self, known: Assignments) -> None:
        """What the partition knows is in another store now."""
        if self._stage is not None:
            self._stage.know(known)

    def told(self) -> None:
        """The partition knows more than before."""
        self._silent = False
        self._told.set()

    async def admit(self) -> None:
        assert self._stage is not None
        if self._stage.unanswered <= AHEAD_MAX:
            return
        while (unanswered := self._stage.unanswered) > (UNANSWERED_MAX if self._silent else 0):
            self._told.clear()
            try:
                async with asyncio.timeout(SILENCE_S):
                    await self._told.wait()
            except TimeoutError:
                self._silent = True
                log.warning("the linker does not answer", partition=self._partition, messages=unanswered)

    def process(self, records: Sequence[InRecord]) -> Work:
        assert self._stage is not None
        return self._stage.process(records, self._clock.now_ms())

    def done(self, work: Work) -> None:
        """Nothing is kept."""

    def drop(self) -> None:
        """Whoever waits for an answer goes on waiting: requests that are computed again are answered again."""

    async def mend(self) -> None:
        raise AssertionError("a stage without a store has none that could be damaged")

    def close(self) -> None:
        """Nothing is held."""


class LinkEngine(StateEngine):
    """The link stage of the one partition of `identity.links`."""

    def __init__(self, home: Home, topics: Topics, partitions: int, *, generation: int) -> None:
        super().__init__(home)
        self._topics = topics
        self._partitions = partitions
        self._generation = generation
        self._stage: LinkStage | None = None

    def _begin(self, overlay: Overlay, restored: Restored) -> int:
        self._stage = LinkStage(
            self._topics, self._partitions, overlay, epoch=restored.epoch, generation=self._generation
        )
        return self._stage.src_next

    def _reload(self) -> None:
        assert self._stage is not None
        self._stage.reload()

    def process(self, records: Sequence[InRecord]) -> Work:
        assert self._stage is not None
        return self._stage.process(records)


class ComputeEngine(StateEngine):
    """The compute stage of one partition of `profiles.in` or `accounts.in`."""

    def __init__(
        self, home: Home, topics: Topics, partitions: int, *, collection: Collection, generation: int, cache_bytes: int
    ) -> None:
        super().__init__(home)
        self._collection = collection
        self._topics = topics
        self._partitions = partitions
        self._generation = generation
        self._cache_bytes = cache_bytes
        self.stage: ComputeStage | None = None
        self._day = 0

    @property
    def plan_version(self) -> int:
        """Of the plan by which the next record is evaluated; 0 before it is ready."""
        return self.stage.plan_version if self.stage is not None else 0

    @property
    def has_accounts(self) -> bool:
        """Whether some definition of accounts is in force; not before it is ready."""
        return self.stage is not None and self.stage.has_accounts

    def _begin(self, overlay: Overlay, restored: Restored) -> int:
        self.stage = ComputeStage(
            self._topics,
            self._home.partition,
            self._partitions,
            overlay,
            collection=self._collection,
            epoch=restored.epoch,
            generation=self._generation,
            cache_bytes=self._cache_bytes,
        )
        return self.stage.src_next

    def _reload(self) -> None:
        assert self.stage is not None
        self.stage.reload()

    def process(self, records: Sequence[InRecord]) -> Work:
        assert self.stage is not None
        return self.stage.process(records)

    def done(self, work: Work) -> None:
        super().done(work)
        day = work.facts.newest_at_ms // DAY_MS
        if day > self._day:
            self._day = day
            assert self.store is not None
            self.store.drop_seen_before(day * DAY_MS)
