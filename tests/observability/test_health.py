"""One part that is not ready makes the process unready; only a failure makes it dead."""

import aiohttp
import pytest

from app.observability.catalogue import EVENTS
from app.observability.health import Health
from app.observability.metrics import Metrics
from app.observability.server import HealthServer


def test_nothing_started_is_live_but_not_ready() -> None:
    report = Health().report()
    assert report.live
    assert not report.ready


def test_every_part_must_be_ready() -> None:
    health = Health()
    store, broker = health.part("store", "restoring"), health.part("broker")
    store.up()
    assert health.report().parts == {"store": "ok", "broker": "starting"}
    assert not health.report().ready
    broker.up()
    assert health.report().ready
    store.down("restoring 3 of 4 partitions")
    assert not health.report().ready
    assert health.report().live


def test_a_check_is_asked_each_time() -> None:
    health = Health()
    reasons = ["lag grows"]
    health.check("progress", lambda: reasons[0] if reasons else "")
    assert not health.report().ready
    reasons.clear()
    assert health.report().ready


def test_a_failure_is_neither_live_nor_ready() -> None:
    health = Health()
    health.part("store").up()
    health.fail("disk full")
    report = health.report()
    assert (report.live, report.ready) == (False, False)
    assert report.parts["process"] == "disk full"


def test_a_name_is_taken_once() -> None:
    health = Health()
    health.part("store")
    with pytest.raises(ValueError, match="store"):
        health.part("store")


async def test_the_listener_answers_probes_and_prometheus() -> None:
    health, metrics = Health(), Metrics("delivery")
    part = health.part("broker", "connecting")
    metrics[EVENTS].labels("changes").inc()
    server = HealthServer(health, metrics)
    address = await server.start()
    try:
        assert address.startswith("http://127.0.0.1:")
        async with aiohttp.ClientSession(address) as session:
            async with session.get("/health/live") as reply:
                assert reply.status == 200
            async with session.get("/health/ready") as reply:
                assert reply.status == 503
                assert await reply.json() == {"ready": False, "parts": {"broker": "connecting"}}
            part.up()
            async with session.get("/health/ready") as reply:
                assert reply.status == 200
            health.fail("fenced")
            async with session.get("/health/live") as reply:
                assert reply.status == 503
            async with session.get("/metrics") as reply:
                assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
                assert 'headwater_events_total{topic="changes"} 1.0' in await reply.text()
            async with session.post("/health/live") as reply:
                assert reply.status == 405
            async with session.get("/") as reply:
                assert reply.status == 404
    finally:
        await server.stop()
