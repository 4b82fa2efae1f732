"""A well destination, alone or beside sick ones, in a process like a delivery worker: one HTTP client, one event loop.

`python -m tests.delivery.neighbours '<JSON of a Task>'`; prints JSON of a Report as its last line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass

from app.activation.outcome import Failure, Response
from app.activation.request import Request
from app.clock import SystemClock
from app.delivery.breaker import BreakerSettings
from app.delivery.exchange import Deliver
from app.delivery.guard import Guard
from app.delivery.limiter import Limiter
from app.delivery.retry import RetrySettings
from app.delivery.transport import Transport
from app.delivery.work import LaneSettings
from tests.delivery.records import record, webhook
from tests.delivery.rig import Rig, running

PAYLOADS = 200
"""Of the well destination in one window."""
EVERY_S = 0.01
WAITING = 500
"""Payloads that each sick destination has waiting: more than go out in the whole time, so none comes to rest."""
SICK_PER_S = 20.0
WELL_PER_S = 400.0
SETTINGS = LaneSettings(
    retry=RetrySettings(base_s=0.2, delay_s_max=2.0),
    breaker=BreakerSettings(open_s=1.0),  # probes more often than they would, so that the sick are heard of
)
TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Task:
    """What to run."""

    well: str
    """URL."""
    sick: dict[str, str]
    """Name → URL; none: alone."""
    windows: int
    fault: str = ""
    """What to plant: `shared` (one limit of requests under way for all lanes) or `blocking` (a sick lane that does not
    give way)."""


@dataclass(frozen=True, slots=True)
class Sick:
    """What a sick lane came to."""

    state: str
    in_flight: int
    accounted: int
    """Payloads that wait, were buried or delivered."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured: of each window, from the lane's take to the vendor's whole answer."""

    medians_ms: list[float]
    p99s_ms: list[float]
    sick: dict[str, Sick]


def rig(url: str, deliver: Deliver, name: str, per_s: float) -> Rig:
    limiter = Limiter(per_s, clock=SystemClock(), grow_after_s=0.0)
    limiter.set_share(range(1), 1)
    made = Rig(
        webhook(url, timeout_s=TIMEOUT_S),
        deliver,
        clock=SystemClock(),
        settings=SETTINGS,
        name=name,
        turn=limiter.acquire,
    )
    made.sender.assign(0, 0)
    return made


def sharing(deliver: Deliver) -> Deliver:
    """The fault of lanes that have a limit in common."""
    slots = asyncio.Semaphore(20)

    async def call(request: Request, timeout_s: float) -> Response | Failure:
        async with slots:
            return await deliver(request, timeout_s)

    return call


def blocking(deliver: Deliver) -> Deliver:
    """The fault of a lane that keeps the loop to itself, for 20 ms a request."""

    async def call(request: Request, timeout_s: float) -> Response | Failure:
        time.sleep(0.02)  # noqa: ASYNC251
        return await deliver(request, timeout_s)

    return call


async def took_ms(made: Rig, answered: dict[str, float], first: int) -> list[float]:
    """One window at an even pace, ascending."""
    offered: dict[str, float] = {}
    began_s = time.monotonic()
    for number in range(PAYLOADS):
        await asyncio.sleep(began_s + number * EVERY_S - time.monotonic())
        offered[f"p{number}-{first + number}"] = time.monotonic()
        await made.sender.take(0, [record(first + number, f"p{number}")])
    await made.settled(0, first + PAYLOADS)
    return sorted((answered[id_] - at_s) * 1_000 for id_, at_s in offered.items())


async def measure(task: Task) -> Report:
    transport = Transport(Guard.of(["127.0.0.1/32"]))
    send = sharing(transport.send) if task.fault == "shared" else transport.send
    answered: dict[str, float] = {}

    async def timed(request: Request, timeout_s: float) -> Response | Failure:
        answer = await send(request, timeout_s)
        answered[str(request.headers["webhook-id"])] = time.monotonic()
        return answer

    well = rig(task.well, timed, "well", WELL_PER_S)
    to_sick = blocking(send) if task.fault == "blocking" else send
    sick = {name: rig(url, to_sick, name, SICK_PER_S) for name, url in task.sick.items()}
    async with running(well):
        running_sick = [asyncio.ensure_future(one.sender.run()) for one in sick.values()]
        for one in sick.values():
            await one.sender.take(0, [record(offset, f"p{offset}") for offset in range(WAITING)])
        await took_ms(well, answered, 0)  # connections are made
        windows = [await took_ms(well, answered, number * PAYLOADS) for number in range(1, task.windows + 1)]
        seen = {name: _seen(one) for name, one in sick.items()}
        for each in running_sick:
            each.cancel()
        await asyncio.gather(*running_sick, return_exceptions=True)
    await transport.close()
    return Report([w[PAYLOADS // 2] for w in windows], [w[PAYLOADS * 99 // 100 - 1] for w in windows], seen)


def _seen(one: Rig) -> Sick:
    lane = one.lane
    return Sick(lane.state.value, lane.in_flight, lane.pending + len(one.dead) + one.count("delivered"))


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(measure(Task(**json.loads(sys.argv[1])))))))
