"""A resolver that is far ahead of the linker waits for it, but not for one that says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import orjson
import pytest

from app.clock import SystemClock
from app.identity.rules import IdentityRules
from app.stages import assignments
from app.stages.assignments import Assignments
from app.stages.overlay import Overlay
from app.stream import engines
from app.stream.engines import ResolveEngine
from app.topics import Topics
from tests.simulation.log import Record
from tests.simulation.store import SimStore

RULES = IdentityRules()
ANN = "prf_" + "a" * 24


class Rig:
    """Partition 0 of `events.raw`; offsets rise from 0, and every message is of somebody new."""

    def __init__(self) -> None:
        self.known = Assignments(Overlay(SimStore()), RULES.link.version(), 1)
        self.engine = ResolveEngine(Topics("t."), 0, RULES, SystemClock(), known=self._known, start=self._start)
        self.next = 0

    async def _known(self) -> Assignments:
        return self.known

    async def _start(self) -> tuple[int, int]:
        return 0, 0

    def take(self, count: int) -> None:
        values = [orjson.dumps({"type": "page", "userId": f"u{self.next + at}"}) for at in range(count)]
        self.engine.process([Record(self.next + at, None, value, 1_000) for at, value in enumerate(values)])
        self.next += count

    def answer(self, upto: int) -> None:
        records = [assignments.of_profile(ANN)(("user_id", "u0")), assignments.answered(upto)]
        self.known.process([Record(at, key, value, 1_000) for at, (key, value, _) in enumerate(records)])
        self.engine.told()


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(engines, "AHEAD_MAX", 4)
    monkeypatch.setattr(engines, "UNANSWERED_MAX", 8)
    made = Rig()
    await made.engine.prepare()
    return made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(engines, "SILENCE_S", 0.001)
        yield


async def settled(task: asyncio.Task[None]) -> bool:
    """Whether it is done when everything that was ready has run."""
    for _ in range(10):
        await asyncio.sleep(0)
    return task.done()


async def test_few_that_wait_hold_up_nothing(rig: Rig) -> None:
    rig.take(4)
    assert await settled(asyncio.create_task(rig.engine.admit()))


async def test_who_is_far_ahead_waits_until_all_is_answered(rig: Rig) -> None:
    rig.take(8)
    admitted = asyncio.create_task(rig.engine.admit())
    assert not await settled(admitted)
    rig.answer(6)
    assert not await settled(admitted), "one of eight still waits"
    rig.answer(7)
    assert await settled(admitted)


@pytest.mark.usefixtures("impatient")
async def test_a_linker_that_is_silent_is_waited_for_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.take(5)
    await rig.engine.admit()
    monkeypatch.setattr(engines, "SILENCE_S", 3_600)
    rig.take(1)
    assert await settled(asyncio.create_task(rig.engine.admit())), "it has not spoken since"
    rig.answer(0)
    waiting = asyncio.create_task(rig.engine.admit())
    assert not await settled(waiting), "it has, and five wait"
    waiting.cancel()


@pytest.mark.usefixtures("impatient")
async def test_what_is_held_in_memory_has_an_end(rig: Rig) -> None:
    rig.take(9)
    admitted = asyncio.create_task(rig.engine.admit())
    done, _ = await asyncio.wait({admitted}, timeout=0.1)
    assert not done
    rig.answer(8)
    await admitted
