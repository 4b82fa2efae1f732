"""A lane by its promises, with the real commit protocol: order, one batch ahead, retries, limits, checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from app.errors import StateError, StateErrorReason
from app.profiles.codec import CorruptProfile
from app.stages.records import InRecord, Work
from app.stream.lane import LaneLimits
from tests.stream.lanes import LIMITS, Rig, records, running


async def test_batches_are_done_in_order_and_the_state_is_their_sum() -> None:
    async with running(is_open=True) as rig:
        for start in range(0, 30, 3):
            rig.lane.offer(records(start, start + 3))
        await rig.done(30)
        assert rig.engine.stored == sum(range(30))
        assert [int(each) for each in rig.journal.of("done")] == sorted(map(int, rig.journal.of("done")))
        assert (rig.lane.read_next, rig.lane.done_next, rig.lane.done_at_ms) == (30, 30, 1_029)


async def test_the_next_batch_is_computed_while_acks_are_awaited_and_sent_only_after_the_write() -> None:
    async with running() as rig:
        for start in (0, 4, 8):
            rig.lane.offer(records(start, start + 4))
        await rig.journal.until("process 4-7")
        await asyncio.sleep(0)
        # One ahead and no further; nothing of it has left, nothing of the first is written.
        assert rig.journal.of("process") == ["0-3", "4-7"]
        assert rig.journal.of("send") == ["0-3"]
        assert rig.journal.of("write") == []
        assert rig.lane.done_next is None
        rig.ports.acks.release()
        await rig.journal.until("send 4-7")
        entries = rig.journal.entries
        assert (
            entries.index("acked 0-3") < entries.index("write 6") < entries.index("done 4") < entries.index("send 4-7")
        )
        rig.ports.open()
        await rig.done(12)
        assert rig.engine.stored == sum(range(12))


@pytest.mark.parametrize("step", ["send", "append", "write"])
async def test_a_step_that_fails_drops_and_computes_the_same_records_again(step: str) -> None:
    async with running() as rig:
        rig.ports.failures[step] = 2
        rig.lane.offer(records(0, 4))
        rig.lane.offer(records(4, 8))
        rig.ports.open()
        await rig.done(8)
        assert rig.journal.entries.count("dropped") >= 2
        assert rig.engine.stored == sum(range(8)), "a batch was lost, or counted twice"
        # Whatever went out before the failure goes out again, from the first record on.
        assert [each.split("-")[0] for each in rig.journal.of("send")][:3] == ["0", "0", "0"]
        assert rig.lane.done_next == 8
        assert rig.fatal == []


async def test_a_damaged_store_is_mended_and_the_batch_computed_again() -> None:
    async with running(is_open=True) as rig:
        rig.lane.offer(records(0, 3))
        await rig.done(3)
        rig.engine.damaged = {4}
        rig.lane.offer(records(3, 6))
        await rig.done(6)
        assert "mended" in rig.journal.entries
        assert rig.engine.stored == sum(range(6))


async def test_another_owner_is_fatal_and_nothing_more_leaves() -> None:
    async with running(is_open=True) as rig:
        rig.ports.fenced = True
        rig.lane.offer(records(0, 3))
        await rig.journal.until("fatal")
        assert isinstance(rig.fatal[0], StateError)
        assert rig.journal.of("send") == []
        rig.lane.offer(records(3, 6))
        await asyncio.sleep(0)
        assert rig.journal.of("process") == ["0-2"]


async def test_an_error_of_state_is_fatal() -> None:
    async with running(is_open=True) as rig:
        rig.engine.refused = {1: StateError(0, StateErrorReason.CHANGELOG_LOST, "gone")}
        rig.lane.offer(records(0, 3))
        await rig.journal.until("fatal")
        assert rig.lane.done_next is None


async def test_a_full_queue_stops_the_fetch_until_half_is_left() -> None:
    async with running() as rig:
        rig.lane.offer(records(0, 4))
        await rig.journal.until("send 0-3")
        rig.lane.offer(records(4, 8))
        await rig.journal.until("process 4-7")
        for start in (8, 11, 14):
            rig.lane.offer(records(start, start + 3))
        assert rig.journal.of("full") == [], "nine are below the limit of ten"
        rig.lane.offer(records(17, 18))
        assert rig.journal.of("full") == ["True"]
        rig.ports.acks.release()
        await rig.journal.until("process 8-11")
        assert rig.journal.of("full") == ["True"], "six are left, more than half"
        rig.ports.acks.release()
        await rig.journal.until("full False")
        rig.ports.open()
        await rig.done(18)
        assert rig.journal.of("full") == ["True", "False"]
        assert rig.engine.stored == sum(range(18))


async def test_small_batches_are_computed_together_up_to_the_limit() -> None:
    async with running() as rig:
        rig.lane.offer(records(0, 1))
        await rig.journal.until("send 0-0")
        rig.lane.offer(records(1, 2))
        await rig.journal.until("process 1-1")
        for offset in range(2, 8):
            rig.lane.offer(records(offset, offset + 1))
        rig.ports.open()
        await rig.done(8)
        assert rig.journal.of("process")[2:] == ["2-5", "6-7"]


async def test_a_batch_is_no_larger_than_can_be_computed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("app.stream.lane.monotonic", lambda: now_s)
    async with running(limits=LaneLimits(batch_records=1_000, queued_records_max=10_000, compute_s=100 / 1024)) as rig:
        process = rig.engine.process

        def slow(batch: Sequence[InRecord]) -> Work:
            nonlocal now_s
            now_s += len(batch) / 1024
            return process(batch)

        monkeypatch.setattr(rig.engine, "process", slow)
        rig.ports.open()
        rig.lane.offer(records(0, 1_500))
        rig.lane.offer(records(1_500, 3_000))
        await rig.done(3_000)
        assert rig.engine.stored == sum(range(3_000))
        # The first cannot know; from then on each takes what it may, across what was handed over together.
        assert rig.journal.of("process")[:4] == ["0-999", "1000-1099", "1100-1199", "1200-1299"]
        assert "1500-1599" in rig.journal.of("process")


async def test_a_batch_is_computed_in_turn_with_those_of_other_lanes() -> None:
    turn = asyncio.Lock()
    async with running(is_open=True, turn=turn) as rig, turn:
        rig.lane.offer(records(0, 3))
        for _ in range(5):
            await asyncio.sleep(0)
        assert rig.journal.of("process") == []
        turn.release()
        await rig.done(3)
        await turn.acquire()


async def test_records_before_the_first_wanted_are_passed_over() -> None:
    async with running(first=5, is_open=True) as rig:
        assert rig.lane.done_next == 5
        rig.lane.offer(records(0, 3))
        rig.lane.offer(records(3, 8))
        await rig.done(8)
        assert rig.journal.of("process") == ["5-7"]
        assert rig.engine.stored == 5 + 6 + 7


async def test_what_is_handed_over_again_is_passed_over() -> None:
    async with running(is_open=True) as rig:
        rig.lane.offer(records(0, 6))
        rig.lane.offer(records(2, 6))
        rig.lane.offer(records(4, 9))
        await rig.done(9)
        assert rig.engine.stored == sum(range(9))


async def test_gaps_of_compaction_and_markers_are_no_loss() -> None:
    async with running(is_open=True) as rig:
        rig.lane.offer([*records(0, 2), *records(7, 9)])
        rig.lane.offer(records(20, 21))
        await rig.done(21)
        assert rig.engine.stored == 0 + 1 + 7 + 8 + 20


async def test_checkpoint_waits_for_the_batch_under_way_and_takes_no_other() -> None:
    async with running() as rig:
        rig.lane.offer(records(0, 4))
        await rig.journal.until("send 0-3")
        checkpoint = asyncio.create_task(rig.lane.checkpoint())
        await asyncio.sleep(0)
        rig.lane.offer(records(4, 8))
        rig.ports.open()
        await checkpoint
        assert rig.lane.done_next == 4
        await asyncio.sleep(0)
        assert rig.journal.of("process") == ["0-3"]


async def one_ahead(rig: Rig) -> None:
    """A batch waits for its ack, and the next one has been computed."""
    rig.lane.offer(records(0, 4))
    await rig.journal.until("send 0-3")
    rig.lane.offer(records(4, 8))
    await rig.journal.until("process 4-7")
    await asyncio.sleep(0)


async def test_checkpoint_waits_also_with_a_batch_computed_ahead_and_keeps_that_one_back() -> None:
    async with running() as rig:
        await one_ahead(rig)
        checkpoint = asyncio.create_task(rig.lane.checkpoint())
        await asyncio.sleep(0)
        assert not checkpoint.done(), "the batch under way was not waited for"
        rig.ports.open()
        await checkpoint
        assert rig.lane.done_next == 4
        entries = rig.journal.entries
        assert entries.index("done 4") < entries.index("failpoint on_revoke"), "with the batch done, before Kafka knows"
        for _ in range(10):
            await asyncio.sleep(0)
        assert rig.journal.of("send") == ["0-3"], "a batch left after the partition was given up"
        rig.lane.resume()
        await rig.done(8)
        assert rig.journal.of("process") == ["0-3", "4-7"]
        assert rig.engine.stored == sum(range(8))


async def test_what_a_checkpoint_kept_back_is_dropped_with_the_partition() -> None:
    async with running() as rig:
        await one_ahead(rig)
        rig.ports.open()
        await rig.lane.checkpoint()
        await rig.lane.close()
        assert rig.journal.of("send") == ["0-3"]
        assert rig.lane.done_next == 4


@pytest.mark.parametrize("is_idle", [True, False])
async def test_damage_that_another_has_found_is_mended_without_loss(is_idle: bool) -> None:
    async with running() as rig:
        rig.lane.offer(records(0, 3))
        await rig.journal.until("send 0-2")
        if is_idle:
            rig.ports.open()
            await rig.done(3)
        else:
            rig.lane.offer(records(3, 5))
            await rig.journal.until("process 3-4")
            rig.lane.offer(records(5, 6))
        rig.lane.damaged(CorruptProfile("a damaged timer"))
        rig.ports.open()
        await rig.journal.until("mended")
        rig.lane.offer(records(3, 9))
        await rig.done(9)
        assert rig.engine.stored == sum(range(9))
        assert rig.journal.entries.count("mended") == 1


async def test_the_commit_under_way_ends_before_a_damaged_store_is_mended() -> None:
    async with running() as rig:
        rig.lane.offer(records(0, 3))
        await rig.journal.until("send 0-2")
        rig.engine.damaged = {4}
        rig.lane.offer(records(3, 6))
        await rig.journal.until("process 3-5")
        for _ in range(10):
            await asyncio.sleep(0)
        assert "mended" not in rig.journal.entries, "its write would go into the store that is being restored"
        rig.ports.open()
        await rig.done(6)
        entries = rig.journal.entries
        assert entries.index("done 3") < entries.index("mended")
        assert rig.engine.stored == sum(range(6))


async def test_another_owner_that_shows_while_a_batch_is_dropped_is_fatal() -> None:
    async with running() as rig:
        rig.lane.offer(records(0, 3))
        await rig.journal.until("send 0-2")
        rig.engine.refused = {4: ConnectionError("no store")}
        rig.ports.fenced = True
        rig.lane.offer(records(3, 6))
        await rig.journal.until("process 3-5")
        rig.ports.open()
        await rig.journal.until("fatal")
        assert isinstance(rig.fatal[0], StateError)


async def test_checkpoint_gives_up_after_its_budget() -> None:
    async with running() as rig:
        rig.lane.offer(records(0, 4))
        await rig.journal.until("send 0-3")
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        await rig.lane.checkpoint()
        assert LIMITS.checkpoint_s * 0.9 <= loop.time() - started_s < 5
        assert rig.lane.done_next is None, "nothing may be committed that was not acknowledged"


async def finish_first(rig: Rig) -> None:
    rig.ports.open()
    await rig.lane.checkpoint()


async def run_out(rig: Rig) -> None:
    await rig.lane.checkpoint()
    rig.ports.open()


@pytest.mark.parametrize("checkpoint", [finish_first, run_out])
async def test_resume_goes_on_from_what_is_committed(checkpoint: Callable[[Rig], Awaitable[None]]) -> None:
    """The consumer seeks back to the committed offset, and so reads again what was queued, and maybe what was done."""
    async with running() as rig:
        rig.lane.offer(records(0, 4))
        await rig.journal.until("send 0-3")
        rig.lane.offer(records(4, 8))
        rig.lane.offer(records(8, 14))
        assert rig.lane.read_next == 14
        await checkpoint(rig)
        committed = rig.lane.done_next or 0
        rig.lane.resume()
        rig.lane.offer(records(committed, 14))
        rig.lane.offer(records(14, 20))
        await rig.done(20)
        assert rig.engine.stored == sum(range(20)), "each record counts once, whatever was under way"


async def test_checkpoint_lets_the_fetch_go_on_again() -> None:
    async with running() as rig:
        rig.lane.offer(records(0, 4))
        await rig.journal.until("send 0-3")
        rig.lane.offer(records(4, 16))
        await rig.journal.until("full True")
        rig.ports.open()
        await rig.lane.checkpoint()
        assert rig.journal.of("full") == ["True", "False"]


async def test_close_cancels_what_is_under_way_and_lets_go() -> None:
    async with running() as rig:
        rig.lane.offer(records(0, 4))
        await rig.journal.until("send 0-3")
        await rig.lane.close()
        assert rig.journal.entries[-1] == "closed"
        assert rig.journal.of("write") == []
