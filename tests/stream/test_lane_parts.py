"""An engine that takes a part of what its lane offers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.stages.records import InRecord, Work
from tests.stream.lanes import SumEngine, records, running


def takes(engine: SumEngine, count: int) -> None:
    """From now on the engine takes so many records of a batch, or fewer."""
    whole = engine.process

    def process(batch: Sequence[InRecord]) -> Work:
        return whole(batch[:count])

    engine.process = process  # type: ignore[method-assign]


@pytest.mark.parametrize("failures", [0, 2])
async def test_an_engine_may_take_a_part_of_a_batch(failures: int) -> None:
    async with running() as rig:
        takes(rig.engine, 3)
        rig.ports.failures["append"] = failures
        rig.lane.offer(records(0, 4))
        rig.lane.offer(records(4, 10))
        rig.ports.open()
        await rig.done(10)
        assert rig.engine.stored == sum(range(10)), "a record was lost, or counted twice"
        assert rig.journal.of("done") == ["3", "6", "9", "10"]
        assert (rig.lane.read_next, rig.lane.done_next, rig.lane.done_at_ms) == (10, 10, 1_009)


async def test_what_an_engine_did_not_take_is_read_again_after_a_checkpoint() -> None:
    async with running() as rig:
        takes(rig.engine, 3)
        rig.lane.offer(records(0, 4))
        await rig.journal.until("send 0-2")
        checkpoint = asyncio.create_task(rig.lane.checkpoint())
        await asyncio.sleep(0)
        rig.ports.open()
        await checkpoint
        rig.lane.resume()
        assert rig.lane.read_next in (3, 4)
        rig.lane.offer(records(rig.lane.read_next or 0, 6))
        await rig.done(6)
        assert rig.engine.stored == sum(range(6))
