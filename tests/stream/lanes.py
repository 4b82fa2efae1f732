"""A lane with a stage whose answers show every mistake, ports that acknowledge when told, and a journal of it all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from app.errors import StateError, StateErrorReason
from app.profiles.codec import CorruptProfile
from app.stages.records import InRecord, OutRecord, Work
from app.stream.lane import Lane, LaneLimits
from tests.simulation.log import Record

LIMITS = LaneLimits(batch_records=4, queued_records_max=10, checkpoint_s=0.2)


def records(start: int, end: int) -> list[Record]:
    return [Record(offset, None, b"%d" % offset, 1_000 + offset) for offset in range(start, end)]


@dataclass
class Journal:
    """What happened, in order, and a way to wait for it."""

    entries: list[str] = field(default_factory=list)
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, entry: str) -> None:
        self.entries.append(entry)
        self._grown.set()

    async def until(self, entry: str, times: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.entries.count(entry) < times:
                self._grown.clear()
                await self._grown.wait()

    def of(self, kind: str) -> list[str]:
        return [entry.removeprefix(kind + " ") for entry in self.entries if entry.startswith(kind + " ")]


class SumEngine:
    """Adds up offsets, so that a batch computed on the wrong state gives another sum."""

    def __init__(self, journal: Journal, first: int | None = None) -> None:
        self.journal = journal
        self.first = first
        self.stored = 0
        self.ahead: list[int] = []
        self.damaged: set[int] = set()
        self.refused: dict[int, Exception] = {}

    async def prepare(self) -> int | None:
        self.journal.add("prepared")
        return self.first

    async def admit(self) -> None:
        self.journal.add("admitted")

    def process(self, batch: Sequence[InRecord]) -> Work:
        name = f"{batch[0].offset}-{batch[-1].offset}"
        self.journal.add(f"process {name}")
        for record in batch:
            if record.offset in self.damaged:
                raise CorruptProfile("a damaged profile")
            if record.offset in self.refused:
                raise self.refused[record.offset]
        total = (self.ahead[-1] if self.ahead else self.stored) + sum(record.offset for record in batch)
        self.ahead.append(total)
        work = Work(src_next=batch[-1].offset + 1)
        work.emit("out", 0, (b"k", name.encode(), ()))
        work.changelog.append((b"sum", b"%d" % total))
        work.writes[b"sum"] = b"%d" % total
        return work

    def write(self, writes: Mapping[bytes, bytes | None]) -> None:
        self.stored = int(writes[b"sum"] or 0)

    def done(self, work: Work) -> None:
        self.ahead.pop(0)
        self.journal.add(f"done {work.src_next}")

    def drop(self) -> None:
        self.ahead.clear()
        self.journal.add("dropped")

    async def mend(self) -> None:
        self.damaged.clear()
        self.journal.add("mended")

    def close(self) -> None:
        self.journal.add("closed")


class GatedPorts:
    """Acknowledges when the test says so; fails as often as it is told."""

    def __init__(self, journal: Journal, engine: SumEngine) -> None:
        self.journal = journal
        self.engine = engine
        self.acks = asyncio.Semaphore(0)
        self.failures: dict[str, int] = {}
        self.fenced = False

    def open(self) -> None:
        for _ in range(10_000):
            self.acks.release()

    def _maybe_fail(self, step: str) -> None:
        if self.failures.get(step, 0):
            self.failures[step] -= 1
            raise ConnectionError(f"no {step}")

    def still_mine(self) -> None:
        if self.fenced:
            raise StateError(0, StateErrorReason.FENCED, "replaced")

    async def send(self, outputs: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        (only,) = outputs["out", 0]
        name = (only[1] or b"").decode()
        self.journal.add(f"send {name}")
        self._maybe_fail("send")
        await self.acks.acquire()
        self.journal.add(f"acked {name}")

    async def append(self, changelog: Sequence[tuple[bytes, bytes | None]]) -> int:
        self._maybe_fail("append")
        return 0

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        self._maybe_fail("write")
        self.engine.write(writes)
        self.journal.add(f"write {(writes[b'sum'] or b'').decode()}")

    def committable(self, src_next: int) -> None:
        self.journal.add(f"committable {src_next}")


@dataclass
class Rig:
    lane: Lane
    engine: SumEngine
    ports: GatedPorts
    journal: Journal
    fatal: list[Exception]

    async def done(self, offset: int) -> None:
        await self.journal.until(f"done {offset}")


@asynccontextmanager
async def running(
    *, first: int | None = None, limits: LaneLimits = LIMITS, is_open: bool = False, turn: asyncio.Lock | None = None
) -> AsyncIterator[Rig]:
    journal = Journal()
    engine = SumEngine(journal, first)
    ports = GatedPorts(journal, engine)
    if is_open:
        ports.open()
    fatal: list[Exception] = []

    def on_fatal(error: Exception) -> None:
        fatal.append(error)
        journal.add("fatal")

    def on_full(full: bool) -> None:
        journal.add(f"full {full}")

    lane = Lane(
        "test-0", engine, ports, limits, turn or asyncio.Lock(), full=on_full, fatal=on_fatal,
        failpoint=lambda name: journal.add(f"failpoint {name}"),
        observe=lambda work, seconds: None, computed=lambda seconds: None,
    )  # fmt: skip
    try:
        await lane.ready.wait()
        yield Rig(lane, engine, ports, journal, fatal)
    finally:
        await lane.close()
