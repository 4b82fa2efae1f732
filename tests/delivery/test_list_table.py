"""A list table on disk beside its changelog: what is read back, and what a step that was cut short leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.activation.lists.draft import Draft
from app.activation.lists.membership import Told, tell
from app.activation.lists.vendor import Member
from app.delivery.list_table import TOMBSTONES_KEPT_MS, ListTable, LogState, TableBroken, open_table
from app.errors import StateError, StateErrorReason
from app.ids import TimeMs
from app.kafka.producer import ProduceError

LIST = b"aud_1"


@dataclass
class Log:
    """A changelog topic of one partition."""

    id: str = "log-1"
    records: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    start: int = 0
    fails: bool = False
    read_from: list[int] = field(default_factory=list)

    async def state(self) -> LogState:
        return LogState(self.id, self.start, len(self.records))

    async def read(
        self, start: int, end: int
    ) -> AsyncIterator[tuple[Sequence[tuple[bytes | None, bytes | None]], int]]:
        self.read_from.append(start)
        for at in range(start, end):
            yield [self.records[at]], at

    async def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> int:
        await asyncio.sleep(0)
        self.records += records
        if self.fails:
            raise ProduceError("no ack")
        return len(self.records) - 1


@dataclass
class Clock:
    ms: int = 1_000

    def now_ms(self) -> TimeMs:
        return TimeMs(self.ms)

    def monotonic_s(self) -> float:
        return self.ms / 1_000


async def opened(folder: Path, log: Log, clock: Clock | None = None) -> ListTable:
    return await open_table(folder / "lists-ads", log, clock or Clock(), lambda: None)


def entered(draft: Draft, *keys: str) -> None:
    for key in keys:
        tell(draft, Told(LIST, "vip", "VIP", f"p-{key}", 1, 1, True, Member(key, (key,))), 1_000)


async def put(table: ListTable, *keys: str) -> None:
    async with table.step:
        draft = table.draft()
        entered(draft, *keys)
        await table.commit(draft)


def waiting(table: ListTable) -> int:
    return len(table.draft().queued(LIST, b"", 100))


async def test_a_table_that_was_closed_reads_nothing_back_and_a_lost_one_everything(tmp_path: Path) -> None:
    log = Log()
    table = await opened(tmp_path, log)
    await put(table, "a", "b")
    await put(table, "c")
    table.close()
    again = await opened(tmp_path, log)
    assert (waiting(again), log.read_from) == (3, [])
    again.close()
    elsewhere = await opened(tmp_path / "other", log)
    assert (waiting(elsewhere), log.read_from) == (3, [0])
    elsewhere.close()


async def test_what_another_worker_wrote_meanwhile_is_read_back(tmp_path: Path) -> None:
    log = Log()
    table = await opened(tmp_path, log)
    await put(table, "a")
    table.close()
    held = len(log.records)
    other = await opened(tmp_path / "other", log)
    await put(other, "b")
    other.close()
    log.read_from.clear()
    again = await opened(tmp_path, log)
    assert (waiting(again), log.read_from) == (2, [held])
    again.close()


@pytest.mark.parametrize("what", ["made anew", "shorter"])
async def test_a_ledger_is_not_thrown_away_with_its_changelog(tmp_path: Path, what: str) -> None:
    log = Log()
    table = await opened(tmp_path, log)
    await put(table, "a", "b")
    table.close()
    log.id, log.records = ("log-2", []) if what == "made anew" else (log.id, log.records[:2])
    with pytest.raises(StateError) as lost:
        await opened(tmp_path, log)
    assert lost.value.reason is StateErrorReason.CHANGELOG_LOST
    assert str(tmp_path / "lists-ads") in str(lost.value)


@pytest.mark.parametrize("what", ["cut", "too old"])
async def test_a_table_that_may_have_missed_deletions_is_filled_from_the_start(tmp_path: Path, what: str) -> None:
    log, clock = Log(), Clock()
    table = await opened(tmp_path, log, clock)
    await put(table, "a", "b")
    table.close()
    # Somebody left, and the changelog was compacted since: neither his records nor their deletions are there.
    other = await opened(tmp_path / "other", log, clock)
    await put(other, "c")
    other.close()
    gone = len(log.records) - 4
    log.records[:gone] = [log.records[-1]] * gone
    if what == "cut":
        log.start = len(log.records) - 1
    else:
        clock.ms += TOMBSTONES_KEPT_MS + 1
    log.read_from.clear()
    again = await opened(tmp_path, log, clock)
    assert log.read_from == [log.start]
    fresh = await opened(tmp_path / "fresh", log, clock)
    assert waiting(again) == waiting(fresh) < 3
    again.close()
    fresh.close()


async def test_a_step_that_was_cut_short_can_only_be_read_back(tmp_path: Path) -> None:
    log = Log()
    table = await opened(tmp_path, log)
    await put(table, "a")
    log.fails = True
    with pytest.raises(ProduceError):
        await put(table, "b")
    log.fails = False
    with pytest.raises(TableBroken):
        await put(table, "c")
    table.close()
    again = await opened(tmp_path, log)
    assert waiting(again) == 2, "the changelog has it after all"
    again.close()


async def test_a_step_whose_task_was_cancelled_can_only_be_read_back(tmp_path: Path) -> None:
    log = Log()
    table = await opened(tmp_path, log)
    step = asyncio.ensure_future(put(table, "a"))
    await asyncio.sleep(0)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert table.broken
    table.close()


async def test_a_table_is_read_as_it_was_while_a_step_is_written(tmp_path: Path) -> None:
    table = await opened(tmp_path, Log())
    step = asyncio.ensure_future(put(table, "a"))
    await asyncio.sleep(0)
    assert table.step.locked()
    assert waiting(table) == 0
    await step
    assert waiting(table) == 1
    table.close()


async def test_a_worker_that_may_have_been_replaced_writes_nothing(tmp_path: Path) -> None:
    def mine() -> None:
        raise StateError(0, StateErrorReason.FENCED, "the last good heartbeat is too old")

    log = Log()
    table = await open_table(tmp_path / "t", log, Clock(), mine)
    with pytest.raises(StateError):
        await put(table, "a")
    assert log.records == []
    table.close()


async def test_a_damaged_table_is_put_aside_and_filled_anew(tmp_path: Path) -> None:
    log = Log()
    table = await opened(tmp_path, log)
    await put(table, "a", "b")
    table.close()
    await asyncio.to_thread((tmp_path / "lists-ads" / "CURRENT").write_text, "nonsense")
    again = await opened(tmp_path, log)
    assert waiting(again) == 2
    assert len(await asyncio.to_thread(lambda: list(tmp_path.glob("lists-ads.corrupt-*")))) == 1
    again.close()
