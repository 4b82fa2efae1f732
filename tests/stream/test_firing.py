"""Timers that are due go into their partition's log, and time passes behind them, whatever becomes of them there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from app.definitions.model import Catalog, Definition
from app.kafka.producer import ProduceError, Producer
from app.profiles.state import Profile
from app.stages import envelope
from app.stages.compute import ComputeStage
from app.stages.folding import Folding
from app.stages.overlay import Overlay
from app.stages.records import OutRecord
from app.stream import firing
from app.stream.firing import Fired, Firing, Serving
from app.stream.lane import Lane
from app.stream.store import PartitionStore, StoreBudget, StoreShare
from app.topics import Topics
from app.transport.fence import Fence
from tests.simulation.log import Log

TOPICS = Topics()
WINDOW_MS = 10_000
NOW_MS = 60_000
"""When all windows are over."""
CATALOG = Catalog(definitions=(Definition("active", "audience", "event('Ping').within(10 seconds).count() >= 1"),))


@dataclass
class Partition:
    """One partition of users: its log, its lane, and the store that its timers are looked for in."""

    store: PartitionStore
    log: Log = field(default_factory=Log)
    done_next: int = 0
    read_next: int = 0
    refusals: int = 0
    """How often its log takes nothing."""
    dead: list[OutRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.overlay = Overlay(self.store)
        self.stage = ComputeStage(TOPICS, 0, 1, self.overlay, epoch="00ff00ff")
        self.put(None, envelope.catalog(CATALOG))

    def put(self, key: bytes | None, value: bytes) -> None:
        self.log.append(TOPICS.profiles_in, 0, key, value, 0)

    def ping(self, user: str, at_ms: int) -> None:
        message = {"type": "track", "event": "Ping", "userId": user, "messageId": f"{user}{at_ms}"}
        raw = orjson.dumps(message)
        self.put(user.encode(), envelope.event(at_ms, f"{user}{at_ms}", "track", "Ping", [("user_id", user)], raw))

    async def append(
        self, topic: str, partition: int, records: Iterable[tuple[bytes, bytes]], headers: Sequence[Any] = ()
    ) -> tuple[int, int]:
        if self.refusals:
            self.refusals -= 1
            raise ProduceError("refused")
        offsets = [self.log.append(topic, partition, key, value, 0, headers) for key, value in records]
        return offsets[0], offsets[-1]

    def work(self) -> None:
        """Apply all that is in the log."""
        records = self.log.read(TOPICS.profiles_in, 0, self.done_next, 1_000)
        if records:
            work = self.stage.process(records)
            self.dead += work.outputs.get((TOPICS.events_dead, 0), [])
            self.store.write(work.writes, 0)
            self.overlay.pop()
            self.done_next = self.read_next = records[-1].offset + 1

    def fired(self) -> int:
        """How many timers are in its log."""
        return sum(b'"kind":"timer"' in (each.value or b"") for each in self.log.partitions[TOPICS.profiles_in, 0])


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Partition]:
    store = PartitionStore(tmp_path / "s", 0, StoreShare(StoreBudget(8 << 20, 8 << 20)), lambda: 0)
    yield Partition(store)
    store.abandon()


class Tick:
    """What the pump does with one partition."""

    def __init__(self, partition: Partition) -> None:
        fence = cast(Fence, type("Mine", (), {"check": lambda self, partition: None})())
        self._partition = partition
        self._firing = Firing(TOPICS.profiles_in, cast(Producer, partition), fence, lambda name: None)
        self.fired = Fired()

    async def __call__(self, until_ms: int = NOW_MS) -> int:
        """Up to when all timers have passed."""
        partition = self._partition
        served = Serving(partition.store, cast(Lane, partition), partition.stage.plan_version, has_accounts=False)
        await self._firing.fire(0, served, self.fired, until_ms)
        return self.fired.passed_ms


def poison(monkeypatch: pytest.MonkeyPatch, users: set[bytes]) -> None:
    """Timers of these users cannot be applied."""
    applied = Folding.timer

    def timer(self: Folding, key: bytes, profile: Profile, offset: int, due_ms: int) -> None:
        if key in users:
            raise ArithmeticError("a fault in the evaluation")
        applied(self, key, profile, offset, due_ms)

    monkeypatch.setattr(Folding, "timer", timer)


async def test_time_passes_when_what_is_due_has_been_applied(partition: Partition) -> None:
    partition.ping("ann", 1_000)
    partition.ping("bob", 2_000)
    partition.work()
    tick = Tick(partition)
    assert await tick() == 1_000 + WINDOW_MS - 1, "the first of them is in the log, and has yet to be applied"
    assert await tick() == 1_000 + WINDOW_MS - 1
    assert partition.fired() == 2, "each is fired once"
    partition.work()
    assert await tick() == NOW_MS


async def test_a_timer_that_is_dead_lettered_holds_nobody_up(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {b"bob"})
    for user, at_ms in (("ann", 1_000), ("bob", 2_000), ("eve", 3_000)):
        partition.ping(user, at_ms)
    partition.work()
    tick = Tick(partition)
    await tick()
    partition.ping("dan", 55_000)  # of whom a timer is due later
    partition.work()
    assert len(partition.dead) == 1
    assert await tick() == NOW_MS
    assert await tick(70_000) == 65_000 - 1, "a later timer is waited for as ever"
    partition.work()
    assert await tick(80_000) == 80_000
    assert partition.fired() == 4, "the dead one once"
    assert len(partition.dead) == 1


async def test_many_dead_timers_leave_room_for_the_others(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firing, "FIRED_PER_TICK_MAX", 2)
    poison(monkeypatch, {b"u0", b"u1", b"u2"})
    for number in range(6):
        partition.ping(f"u{number}", 1_000 + number)
    partition.work()
    tick = Tick(partition)
    passed: list[int] = []
    for _ in range(4):
        passed.append(await tick())
        partition.work()
    assert passed == [10_999, 11_001, 11_003, NOW_MS], "two a tick, behind those that are dead"
    assert (partition.fired(), len(partition.dead)) == (6, 3)


async def test_timers_that_the_log_did_not_take_are_fired_again(partition: Partition) -> None:
    partition.ping("ann", 1_000)
    partition.work()
    partition.refusals = 1
    tick = Tick(partition)
    await tick()
    assert partition.fired() == 0
    assert await tick() == 1_000 + WINDOW_MS - 1
    assert partition.fired() == 1
