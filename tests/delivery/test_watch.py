"""A destination that is stuck is a stall; one that waits by right, for however long, is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.activation.destination import Request
from app.activation.outcome import Failure, Response
from app.delivery.breaker import BreakerSettings
from app.delivery.retry import RetrySettings
from app.delivery.watch import Watch
from app.delivery.work import LaneSettings
from tests.delivery.jumping import LoopClock, run_jumping
from tests.delivery.records import record, webhook
from tests.delivery.rig import Rig, at_once

NEVER_BREAKS = BreakerSettings(in_a_row=10**9, requests_min=10**9)
SETTINGS = LaneSettings(breaker=NEVER_BREAKS, retry=RetrySettings(give_up_after_s=10**6))

Deliver = Callable[[Request, float], Awaitable[Response | Failure]]
STUCK_60_S = ["crm: lag of 1 records and no commit for 60 s"]


async def for_ever() -> None:
    await asyncio.Event().wait()


async def never(request: Request, timeout_s: float) -> Response | Failure:
    await for_ever()
    raise AssertionError


def always(status: int, headers: dict[str, str] | None = None, *, after_s: float = 0.0) -> Deliver:
    async def deliver(request: Request, timeout_s: float) -> Response | Failure:
        await asyncio.sleep(after_s)
        return Response(status, headers or {})

    return deliver


class Watched:
    """A rig, its watch, and the reasons for which the process would have been ended."""

    def __init__(
        self,
        deliver: Deliver,
        settings: LaneSettings = SETTINGS,
        *,
        turn: Callable[[], Awaitable[None]] = at_once,
        **limits: int,
    ) -> None:
        self.rig = Rig(webhook(**limits), deliver, clock=LoopClock(), settings=settings, turn=turn)
        self.rig.sender.assign(0, 0)
        self.ends: list[str] = []
        self.waiting = 0
        self.watch = Watch(
            "crm", self.rig.lane, self.rig.sender, lambda: self.waiting, LoopClock(),
            stalled_after_s=60, timeout_s=webhook(**limits).limits.timeout_s, act=self.ends.append,
        )  # fmt: skip

    async def pass_s(self, seconds: int) -> list[str]:
        """Time passes until then, or until the process would have ended."""
        for _ in range(seconds):
            self.watch.beat()
            self.watch.watchdog.check()
            if self.ends:
                break
            await asyncio.sleep(1)
        return self.ends


def ends(make: Callable[[], Watched], *profiles: str, seconds: int = 4_000) -> list[str]:
    """For which reasons the process would have been ended, with a payload of each of these profiles."""

    async def main() -> list[str]:
        watched = make()
        sender = watched.rig.sender
        records = [record(offset, name) for offset, name in enumerate(profiles)]
        tasks = [asyncio.ensure_future(sender.run()), asyncio.ensure_future(sender.take(0, records))]
        found = await watched.pass_s(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return found

    return run_jumping(main())


def test_a_request_that_never_ends_is_a_stall():
    assert ends(lambda: Watched(never), "a") == STUCK_60_S


def test_a_dead_letter_that_is_never_acknowledged_is_a_stall():
    def make() -> Watched:
        watched = Watched(always(422))
        watched.rig.ack = for_ever
        return watched

    assert ends(make, "a") == STUCK_60_S


def test_payloads_that_nobody_sends_are_a_stall():
    def make() -> Watched:
        watched = Watched(always(200))
        watched.rig.may_send = False
        return watched

    assert ends(make, "a") == STUCK_60_S


def test_records_that_nobody_hands_to_a_lane_with_room_are_a_stall():
    def make() -> Watched:
        watched = Watched(always(200))
        watched.waiting = 7
        return watched

    assert ends(make) == ["crm: lag of 7 records and no commit for 60 s"]


def test_a_slow_vendors_time_out_counts_before_the_stall():
    assert ends(lambda: Watched(always(200, after_s=100), timeout_s=120), "a", "a") == []


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Watched(always(200)), id="idle"),
        pytest.param(lambda: Watched(always(200, after_s=25), in_flight_max=1), id="slow, with progress"),
        pytest.param(lambda: Watched(always(503)), id="retries"),
        pytest.param(lambda: Watched(always(429, {"Retry-After": "1000"})), id="told to wait"),
        pytest.param(lambda: Watched(always(401)), id="paused"),
        pytest.param(lambda: Watched(always(410)), id="disabled"),
        pytest.param(
            lambda: Watched(always(503), LaneSettings(breaker=BreakerSettings(in_a_row=2, open_s=500))), id="breaker"
        ),
        pytest.param(lambda: Watched(always(200), turn=lambda: asyncio.sleep(300)), id="rate"),
    ],
)
def test_who_waits_by_right_is_not_stuck(make: Callable[[], Watched]):
    assert ends(make, *"abcdeabcde" * 20) == []


def test_records_before_a_full_lane_wait_by_right():
    def make() -> Watched:
        watched = Watched(always(401), LaneSettings(queue_items_max=3, breaker=NEVER_BREAKS), in_flight_max=1)
        watched.waiting = 4
        return watched

    assert ends(make, *map(str, range(40))) == []  # more than it is probed, so that it stays full
