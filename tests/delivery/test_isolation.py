"""Ten sick destinations beside a well one: it must not feel them, and they must stay bounded.

Two processes like delivery workers (`neighbours`) are measured at the same time: in one the well destination is alone,
in the other it has the sick ones beside it, all on one HTTP client and one event loop. So whatever else the machine
does, both feel it. The vendors are processes of their own: two, so that the sick ones do not keep the well one busy.
`-s` prints the figures.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from statistics import median

import pytest

from tests.delivery.neighbours import WAITING, Report, Sick, Task

WINDOWS = 7
SHARE = 1.1
"""A tenth more at most."""
NOISE_MS = 5.0
"""What two processes on the same machine differ by without cause: a few turns of the scheduler."""
FAULT_MS = 4 * NOISE_MS


@asynccontextmanager
async def urls(*arguments: str) -> AsyncIterator[dict[str, str]]:
    """Of a process of vendors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.delivery.sick", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # theirs is full of connections that were cut
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        found: dict[str, str] = json.loads(await process.stdout.readline())
        yield found
    finally:
        process.stdin.close()
        await process.wait()


async def measured(task: Task) -> Report:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.delivery.neighbours", json.dumps(asdict(task))), stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await process.communicate()
        assert process.returncode == 0
        raw = json.loads(output.splitlines()[-1])
        sick = {name: Sick(**each) for name, each in raw["sick"].items()}
        return Report(raw["medians_ms"], raw["p99s_ms"], sick)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def both(windows: int, fault: str = "") -> tuple[Report, Report]:
    """Alone, and beside the sick ones, at the same time."""
    async with urls("well") as well, urls() as sick:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            down = {"down": f"http://127.0.0.1:{nobody.getsockname()[1]}/"}
            alone = Task(well["well"], {}, windows)
            beside = Task(well["well"], sick | down, windows, fault)
            found = await asyncio.gather(measured(alone), measured(beside))
    print()
    for name, report in zip(("alone", "beside"), found, strict=True):
        medians, p99s = (" ".join(f"{each:.1f}" for each in all_) for all_ in (report.medians_ms, report.p99s_ms))
        print(f"{name:6} medians {medians} ms; p99s {p99s} ms")
    print(f"more than a tenth above: {excess_ms(*found):.1f} ms")
    return found


def excess_ms(alone: Report, beside: Report) -> float:
    """By how much the p99 is above what it may be: window by window, the middle one."""
    pairs = zip(alone.p99s_ms, beside.p99s_ms, strict=True)
    return median(with_sick - SHARE * without for without, with_sick in pairs)


def sick_are_bounded(sick: Mapping[str, Sick]) -> None:
    assert len(sick) == 10
    for name, one in sick.items():
        assert one.in_flight <= 20, name
        assert one.accounted == WAITING, name
    assert sick["unauthorized"].state == "paused"
    assert sick["gone"].state == "disabled"
    assert sick["moved"].state == "braked"


@pytest.mark.timeout(180)
async def test_a_well_destination_does_not_feel_the_sick_ones() -> None:
    for tries_left in (2, 1, 0):
        alone, beside = await both(WINDOWS)
        sick_are_bounded(beside.sick)
        if excess_ms(alone, beside) <= NOISE_MS or not tries_left:
            break
    assert excess_ms(alone, beside) <= NOISE_MS


@pytest.mark.parametrize("fault", ["shared", "blocking"])
async def test_a_planted_fault_shows(fault: str) -> None:
    alone, beside = await both(3, fault)
    assert excess_ms(alone, beside) > FAULT_MS
