"""Whole lanes against a real HTTP server: order, waiting, rate, secrets, isolation."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from email.utils import formatdate
from itertools import islice

import orjson
import pytest
from standardwebhooks import Webhook

from app.clock import SystemClock
from app.delivery.breaker import BreakerSettings
from app.delivery.guard import Guard
from app.delivery.limiter import Limiter
from app.delivery.retry import RetrySettings
from app.delivery.transport import Transport
from app.delivery.work import LaneSettings
from tests.delivery.records import CANARY, SECRET, record, webhook
from tests.delivery.rig import Rig, running
from tests.vendor import Arrival, Reply, Vendor

NEVER_BREAKS = BreakerSettings(in_a_row=10**9, requests_min=10**9)
QUICK = LaneSettings(retry=RetrySettings(base_s=0.01, delay_s_max=0.05), breaker=NEVER_BREAKS)


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(Guard.of(["127.0.0.1/32"]))
    yield transport
    await transport.close()


def rig(vendor: Vendor, transport: Transport, settings: LaneSettings = QUICK, **limits: int) -> Rig:
    made = Rig(webhook(vendor.url, **limits), transport.send, clock=SystemClock(), settings=settings)
    made.sender.assign(0, 0)
    return made


async def test_order_of_each_profile_is_kept_through_scripted_failures(transport):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    lot = random.Random(seed)
    script = {
        f"p{profile}": [lot.choice([(), (), (500,), (500, 500), (429,), (503, 408)]) for _ in range(20)]
        for profile in range(50)
    }
    backlog = [(profile, n) for profile in script for n in range(20)]
    profiles = [profile for profile, _ in backlog]
    lot.shuffle(profiles)
    records = [record(offset, profile) for offset, profile in enumerate(profiles)]
    expected: dict[str, list[str]] = defaultdict(list)
    failing: dict[str, tuple[int, ...]] = {}
    for one in records:
        profile = (one.key or b"").decode()
        id_ = f"{profile}-{one.offset}"
        failing[id_] = script[profile][len(expected[profile])]
        expected[profile].append(id_)

    def reply(arrival: Arrival) -> Reply:
        statuses = failing[arrival.id]
        return Reply(statuses[arrival.attempt - 1] if arrival.attempt <= len(statuses) else 200)

    async with Vendor(reply) as vendor:
        made = rig(vendor, transport)
        async with running(made):
            for at in range(0, 1000, 100):
                await made.sender.take(0, records[at : at + 100])
            await made.settled(0, 1000)
    landed: dict[str, list[str]] = defaultdict(list)
    tries: dict[str, list[str]] = defaultdict(list)
    for arrival in vendor.arrivals:
        profile = arrival.id.split("-")[0]
        tries[profile].append(arrival.id)
        if arrival.attempt == len(failing[arrival.id]) + 1:
            landed[profile].append(arrival.id)
    assert landed == expected  # each once, in order
    for profile, seen in tries.items():
        assert list(dict.fromkeys(seen)) == expected[profile]
    assert made.count("retry") == sum(map(len, failing.values()))


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_nothing_arrives_before_a_retry_after(transport, form):
    until_s = 0.0

    def reply(arrival: Arrival) -> Reply:
        nonlocal until_s
        if arrival.id == "a-0" and arrival.attempt == 1:
            wanted_s = int(time.time()) + 2
            until_s = wanted_s if form == "date" else time.time() + 1
            return Reply(429, {"Retry-After": formatdate(wanted_s, usegmt=True) if form == "date" else "1"})
        return Reply()

    async with Vendor(reply) as vendor:
        made = rig(vendor, transport, in_flight_max=1)
        async with running(made):
            await made.sender.take(0, [record(offset, name) for offset, name in enumerate("abab")])
            await made.settled(0, 4)
            wall_minus_monotonic_s = time.time() - time.monotonic()
        assert min(arrival.at_s for arrival in vendor.arrivals[1:]) + wall_minus_monotonic_s >= until_s - 0.01
        assert [arrival.id for arrival in vendor.arrivals if arrival.id[0] == "a"] == ["a-0", "a-0", "a-2"]


async def test_the_rate_is_kept_in_every_sliding_second_of_the_vendors_clock(transport):
    rate = 60
    async with Vendor() as vendor:
        limiter = Limiter(rate, clock=SystemClock(), grow_after_s=0.0)
        limiter.set_share(range(1), 1)
        made = Rig(webhook(vendor.url), transport.send, clock=SystemClock(), settings=QUICK, turn=limiter.acquire)
        made.sender.assign(0, 0)
        async with running(made):
            await made.sender.take(0, [record(offset, f"p{offset}") for offset in range(150)])
            await made.settled(0, 150)
    stamps = [arrival.at_s for arrival in vendor.arrivals]
    for index, stamp in enumerate(stamps):
        within = sum(1 for later in islice(stamps, index, None) if later - stamp < 1.0)
        assert within <= rate


async def test_requests_are_signed_at_each_attempt_under_the_same_id(transport):
    async with Vendor(lambda arrival: Reply(500 if arrival.attempt == 1 else 200)) as vendor:
        made = rig(vendor, transport)
        async with running(made):
            await made.sender.take(0, [record(0, "a")])
            await made.settled(0, 1)
    assert [arrival.id for arrival in vendor.arrivals] == ["a-0", "a-0"]
    for arrival in vendor.arrivals:
        assert Webhook(SECRET).verify(arrival.body, dict(arrival.headers)) == arrival.json
        assert arrival.headers["x-api-key"] == CANARY


async def test_a_dead_letter_has_request_and_response_and_no_secret(transport):
    def echo(arrival: Arrival) -> Reply:
        return Reply(422, {"X-Echo": arrival.headers["x-api-key"]}, b"no: " + orjson.dumps(dict(arrival.headers)))

    async with Vendor(echo) as vendor:
        made = rig(vendor, transport)
        async with running(made):
            await made.sender.take(0, [record(0, "a")])
            await made.settled(0, 1)
    ((topic, key, value, headers),) = made.dead
    assert (topic, key, value["id"], value["profile"]) == ("destinations.crm.dead", b"a", "a-0", "a")
    error = value["error"]
    assert error.keys() == {"reason", "message", "status", "request", "response", "attempts", "at"}
    assert (error["reason"], error["status"], error["attempts"]) == ("refused", 422, 1)
    assert error["request"]["headers"]["webhook-id"] == "a-0"
    assert orjson.loads(error["request"]["body"]) == value["payload"]
    assert error["response"]["body"].startswith("no: ")
    text = orjson.dumps(value).decode() + repr(headers) + repr(made.facts)
    for secret in (CANARY, SECRET, SECRET.removeprefix("whsec_")):
        assert secret not in text


async def test_a_moved_endpoint_makes_dead_letters_until_the_brake(transport):
    async with Vendor() as trap:
        async with Vendor(lambda arrival: Reply(308, {"Location": trap.url})) as vendor:
            made = rig(vendor, transport, in_flight_max=1)
            async with running(made):
                await made.sender.take(0, [record(offset, f"p{offset}") for offset in range(300)])
                await made.until(lambda: made.states() == ["braked"])
            assert len(made.dead) == len(vendor.arrivals) == 100
        assert trap.arrivals == []


async def test_401_pauses_and_new_credentials_release_everything_in_order(transport):
    closed = True
    async with Vendor(lambda arrival: Reply(401 if closed else 200)) as vendor:
        made = rig(vendor, transport)
        async with running(made):
            await made.sender.take(0, [record(offset, f"p{offset % 5}") for offset in range(50)])
            await made.until(lambda: made.states() == ["paused"])
            await made.until(lambda: made.lane.in_flight == 0)
            assert len(vendor.arrivals) <= 5
            closed = False
            made.sender.resume()
            await made.settled(0, 50)
            assert made.dead == []
    for profile in range(5):
        offsets = [int(arrival.id.split("-")[1]) for arrival in vendor.arrivals if arrival.id.startswith(f"p{profile}")]
        assert list(dict.fromkeys(offsets)) == list(range(profile, 50, 5))


async def test_one_sick_lane_does_not_delay_another(transport):
    async with Vendor(lambda arrival: Reply(delay_s=30)) as sick, Vendor() as healthy:
        slow = rig(sick, transport, LaneSettings(queue_items_max=10), timeout_s=30)
        quick = rig(healthy, transport)
        tasks = [asyncio.ensure_future(slow.sender.run())]
        async with running(quick):
            await slow.sender.take(0, [record(offset, f"p{offset}") for offset in range(100)])
            blocked = asyncio.ensure_future(slow.sender.take(0, [record(100, "x")]))
            await sick.until(lambda: len(sick.arrivals) == 20)
            began_s = time.monotonic()
            await quick.sender.take(0, [record(offset, f"p{offset}") for offset in range(200)])
            await quick.settled(0, 200)
            assert time.monotonic() - began_s < 5
            assert not blocked.done()
            assert len(sick.arrivals) == 20  # its own limit in flight
        for task in (*tasks, blocked):
            task.cancel()
        await asyncio.gather(*tasks, blocked, return_exceptions=True)
