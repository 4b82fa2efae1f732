"""The crash test: the stream worker dies by SIGKILL, again and again, while events flow; nothing may come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

from app.clock import SystemClock
from app.kafka.producer import Record
from app.observability.failpoints import Failpoint
from tests.faults.checks import Figures, check_everything
from tests.faults.deployment import REST_S, Deployment, deployed
from tests.faults.stream import GARBAGE, WINDOW_MS_MAX, Sent, configuration, events

NAMED = (
    Failpoint.AFTER_COMPUTE, Failpoint.MID_OUTPUTS, Failpoint.AFTER_OUTPUTS_ACK, Failpoint.MID_CHANGELOG,
    Failpoint.AFTER_CHANGELOG_ACK, Failpoint.AFTER_STORE_WRITE, Failpoint.MID_RESTORE, Failpoint.AFTER_SOURCE_COMMIT,
    Failpoint.AFTER_TIMERS_SENT,
)  # fmt: skip
"""Where the stream can be told to die. A restore comes after one that has surely written to the changelog."""

AT_RANDOM = "at random"
PARTITIONS = 4
STAGE_S = 2.0
"""What is to be sent between two deaths goes out within so long; after that, a trickle, until the death has come."""
TICK_S = 0.05
TRICKLE = 5
FAILPOINT_S = 240.0
"""Timers, for one, wait until a backlog is worked off, on whatever machine it is."""
QUIET_S = 3.0
EVENTS_PER_S_MIN = 500
"""What a machine that does other things too gets done, at least."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. The seed decides the events and the moments, as far as two processes' timing lets it."""

    seed: int
    events: int
    deaths: tuple[str, ...]
    """Failpoints, or `AT_RANDOM`, in order."""
    wipe: bool
    """Delete the data directory after each death."""

    def __str__(self) -> str:
        mode = "deleting" if self.wipe else "keeping"
        return f"seed {self.seed}, {self.events} events, {len(self.deaths)} kills, {mode} the data directory"


@dataclass(frozen=True, slots=True)
class Death:
    how: str
    lag: int
    """Records that were not done when it came."""


@dataclass(frozen=True, slots=True)
class Outcome:
    plan: Plan
    deaths: tuple[Death, ...]
    figures: Figures
    played_s: float
    checked_s: float

    def __str__(self) -> str:
        deaths = ", ".join(f"{death.how} (lag {death.lag})" for death in self.deaths)
        return (
            f"{self.plan}: equal to the oracle; {self.figures}; "
            f"played in {self.played_s:.0f} s, checked in {self.checked_s:.0f} s; killed: {deaths}"
        )


def deaths(seed: int, named: tuple[Failpoint, ...], count: int) -> tuple[str, ...]:
    """So many deaths: the named ones in their order, random ones in between."""
    random, found = Random(seed), [str(name) for name in named]
    while len(found) < count:
        found.insert(random.randint(1, len(found)), AT_RANDOM)
    return tuple(found)


async def run(plan: Plan, brokers: str, folder: Path, topic_prefix: str) -> Outcome:
    """Play and check one plan.

    Raises:
        AssertionError: something differs from the oracle; a note has the plan.
    """
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    document = configuration(topic_prefix, brokers, PARTITIONS)
    try:
        async with deployed(brokers, folder, document) as deployment:
            suffered = await _play(plan, deployment)
            # The long form leaves a backlog of its own: events, and after them the timers that waited for these.
            await deployment.at_rest(QUIET_S, REST_S + plan.events / EVENTS_PER_S_MIN)
            until_ms = SystemClock().now_ms() - 1_000
            await deployment.stop()
            stopped_s = loop.time()
            raw = await deployment.read(deployment.topics.events_raw)
            assert sum(map(len, raw)) == plan.events, "what was acknowledged is there, once"
            figures = await check_everything(deployment, until_ms, is_valid, repeats_allowed=bool(plan.deaths))
    except Exception as error:
        error.add_note(f"crash test: {plan}: {', '.join(plan.deaths)}")
        raise
    now_s = loop.time()
    in_flight = [death for death in suffered if death.lag > 0]
    assert 4 * len(in_flight) >= 3 * len(suffered), f"too few kills hit work in flight: {suffered}"
    return Outcome(plan, suffered, figures, stopped_s - started_s, now_s - stopped_s)


def is_valid(value: bytes | None) -> bool:
    """Whether the generator meant it."""
    return value is not None and value not in GARBAGE


async def _play(plan: Plan, deployment: Deployment) -> tuple[Death, ...]:
    """Send everything and die as planned; the worker runs at the end, and every window of seconds has run out."""
    random, suffered = Random(plan.seed + 1), []
    feeder = Feeder(plan, deployment)
    feeding = asyncio.create_task(feeder.run())
    try:
        for how in plan.deaths:
            lag = await _die(how, deployment, random)
            suffered.append(Death(how, lag))
            if plan.wipe:
                deployment.wipe()
            feeder.stage += 1
            if feeding.done():
                feeding.result()
        await deployment.start()
        await deployment.ready()
        await feeding
        await asyncio.sleep(WINDOW_MS_MAX / 1_000)
    finally:
        feeding.cancel()
    return tuple(suffered)


async def _die(how: str, deployment: Deployment, random: Random) -> int:
    """One life of the worker, and its end; gives the lag at that moment."""
    if how == AT_RANDOM:
        await deployment.start()
        if random.random() < 0.75:
            await deployment.ready()
        await asyncio.sleep(random.uniform(0.2, 2.0))
        lag = await deployment.lag()
        await deployment.kill()
        return lag
    # Many batches and writes come by within a second; timers and restores are rarer.
    rare = (Failpoint.AFTER_TIMERS_SENT, Failpoint.MID_RESTORE)
    hits = random.randint(1, 2) if how in rare else random.randint(1, 4)
    if how == Failpoint.MID_RESTORE:
        # A store that was flushed just before its worker died would have nothing to restore.
        deployment.wipe()
    await deployment.start(f"{how}:{hits}")
    code = await deployment.died(FAILPOINT_S)
    assert code == -9, f"{how}:{hits} did not come; the worker ended with {code}\n{deployment.log_end()}"
    return await deployment.lag()


class Feeder:
    """Sends a share of the events in each life of the worker, also while it is dead, and never stops before the end."""

    def __init__(self, plan: Plan, deployment: Deployment) -> None:
        clock = SystemClock()
        now_ms = iter(clock.now_ms, None)
        self._events: Iterator[Sent] = events(plan.seed, plan.events, PARTITIONS, now_ms)
        self._total = plan.events
        self._stages = len(plan.deaths) + 1
        self._deployment = deployment
        self.stage = 0
        self.sent = 0

    async def run(self) -> None:
        per_tick = int(self._total / self._stages / STAGE_S * TICK_S) + 1
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        while self.sent < self._total:
            due = self._total * (self.stage + 1) // self._stages
            some = list(islice(self._events, per_tick if self.sent < due else TRICKLE))
            await self._send(some)
            self.sent += len(some)
            next_s = max(next_s + TICK_S, loop.time() - 1.0)
            await asyncio.sleep(next_s - loop.time())

    async def _send(self, some: list[Sent]) -> None:
        outputs: dict[tuple[str, int], list[Record]] = {}
        topic = self._deployment.topics.events_raw
        for each in some:
            outputs.setdefault((topic, each.partition), []).append((each.key, each.value, ()))
        await self._deployment.producer.send(outputs)
