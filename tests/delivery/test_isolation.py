"""Ten sick destinations beside a healthy one: it must not feel them, and they must stay bounded.

All share one process, one HTTP client and one event loop, as in a delivery worker; the sick vendors are a process of
their own. `-s` prints the figures.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.clock import SystemClock
from app.delivery.guard import Guard
from app.delivery.limiter import Limiter
from app.delivery.retry import RetrySettings
from app.delivery.transport import Transport
from app.delivery.work import LaneSettings
from tests.delivery.records import record, webhook
from tests.delivery.rig import Rig, running
from tests.vendor import Vendor

PAYLOADS = 400
EVERY_S = 0.01
WAITING = 500
"""Payloads that each sick destination has waiting."""
RATE = 200
SETTINGS = LaneSettings(retry=RetrySettings(base_s=0.2, delay_s_max=2.0))
NOISE_MS = 2_000.0
"""What a machine with much else to do adds by itself; on an idle one the p99 is to be a tenth more at most. Whatever
lanes had in common (connections, a lock, a queue) would show as the five seconds for which the sick ones hold it."""


def rig(url: str, transport: Transport, name: str) -> Rig:
    limiter = Limiter(RATE, clock=SystemClock(), grow_after_s=0.0)
    limiter.set_share(1, 1)
    made = Rig(
        webhook(url, timeout_s=5.0),
        transport.send,
        clock=SystemClock(),
        settings=SETTINGS,
        name=name,
        turn=limiter.acquire,
    )
    made.sender.assign(0, 0)
    return made


async def percentiles_ms(healthy: Vendor, made: Rig, first: int) -> tuple[float, float]:
    """Median and 99th percentile of the way from the lane to the vendor, at an even pace."""
    offered: dict[str, float] = {}
    began_s = time.monotonic()
    for number in range(PAYLOADS):
        await asyncio.sleep(began_s + number * EVERY_S - time.monotonic())
        offered[f"p{number}-{first + number}"] = time.monotonic()
        await made.sender.take(0, [record(first + number, f"p{number}")])
    await made.settled(0, first + PAYLOADS)
    took = sorted((arrival.at_s - offered[arrival.id]) * 1000 for arrival in healthy.arrivals if arrival.id in offered)
    assert len(took) == PAYLOADS
    return took[PAYLOADS // 2], took[PAYLOADS * 99 // 100]


@asynccontextmanager
async def sick_urls() -> AsyncIterator[dict[str, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.delivery.sick", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        try:
            urls: dict[str, str] = json.loads(await process.stdout.readline())
            yield urls | {"down": f"http://127.0.0.1:{nobody.getsockname()[1]}/"}
        finally:
            process.stdin.close()
            await process.wait()


@asynccontextmanager
async def sick_ones(transport: Transport) -> AsyncIterator[dict[str, Rig]]:
    async with sick_urls() as urls:
        rigs = {name: rig(url, transport, name) for name, url in urls.items()}
        tasks = [asyncio.ensure_future(one.sender.run()) for one in rigs.values()]
        try:
            for one in rigs.values():
                await one.sender.take(0, [record(offset, f"p{offset}") for offset in range(WAITING)])
            yield rigs
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.timeout(120)
async def test_a_healthy_destination_does_not_feel_the_sick_ones():
    transport = Transport(Guard.of(["127.0.0.1/32"]))
    async with Vendor() as healthy:
        made = rig(healthy.url, transport, "healthy")
        async with running(made):
            await percentiles_ms(healthy, made, 0)  # warms up
            alone = await percentiles_ms(healthy, made, PAYLOADS)
            async with sick_ones(transport) as rigs:
                beside = await percentiles_ms(healthy, made, 2 * PAYLOADS)
                for one in rigs.values():
                    assert one.lane.in_flight <= 20
                    assert one.lane.pending + len(one.dead) + one.count("delivered") == WAITING
                states = {name: f"{one.lane.state.value}, {one.lane.pending} pending" for name, one in rigs.items()}
    await transport.close()
    print(f"\nalone: median {alone[0]:.2f} ms, p99 {alone[1]:.2f} ms; beside: {beside[0]:.2f} ms, {beside[1]:.2f} ms")
    print(states)
    assert beside[1] <= alone[1] * 1.1 + NOISE_MS
    assert states["unauthorized"].startswith("paused")
    assert states["gone"].startswith("disabled")
    assert states["moved"].startswith("braked")
