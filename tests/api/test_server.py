"""The API as the public SDKs and an operator meet it."""

import asyncio
import base64
import gzip
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from app.api.auth import Credentials
from app.api.server import BODIES_IN_FLIGHT_MAX, NotAcknowledged, Record, Server
from app.clock import SystemClock
from app.observability.health import Health, Part
from app.observability.metrics import Metrics
from app.settings import Secret, Source, Token

KEY = "write-key-1"
TOKEN = "token-1"


@dataclass
class Running:
    """A server on a free port, and what it has produced."""

    session: aiohttp.ClientSession
    metrics: Metrics
    part: Part
    records: list[Record] = field(default_factory=list)
    produce: Callable[[], Awaitable[None]] | None = None
    """What Kafka does before it acknowledges."""

    async def call(
        self, path: str, body: object, *, key: str | None = KEY, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, object]]:
        auth = {"Authorization": basic(key)} if key is not None else {}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(path, data=data, headers={**auth, **(headers or {})}) as reply:
            return reply.status, await reply.json()


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:".encode()).decode()


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    health, metrics = Health(), Metrics("api")

    async def produce(records: Sequence[Record]) -> None:
        if found.produce is not None:
            await found.produce()
        found.records.extend(records)

    credentials = Credentials.of(
        [Source("web", Secret(KEY)), Source("ios", Secret("write-key-2"))], [Token("ops", Secret(TOKEN), "viewer")]
    )
    server = Server(credentials, produce, health, metrics, SystemClock())
    runner = web.AppRunner(server.application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(f"http://{host}:{port}", connector=connector) as session:
        found = Running(session, metrics, health.part("kafka"))
        yield found
    await runner.cleanup()


TRACK = {"type": "track", "userId": "u", "event": "E", "messageId": "m"}


@pytest.mark.parametrize("kind", ["track", "identify", "group", "page", "screen", "alias"])
async def test_each_call_becomes_its_message(running: Running, kind: str) -> None:
    assert await running.call(f"/v1/{kind}", {"userId": "u", "writeKey": "ignored"}) == (200, {"success": True})
    ((key, value),) = running.records
    message = json.loads(value)
    assert (key, message["type"], message["sourceId"]) == (b"u", kind, "web")
    assert "writeKey" not in message


async def test_a_batch_keeps_its_order(running: Running) -> None:
    body = {"batch": [{**TRACK, "messageId": f"m{number}"} for number in range(100)], "sentAt": "2026-01-31T10:00:00Z"}
    assert (await running.call("/v1/batch", body))[0] == 200
    assert [json.loads(value)["messageId"] for _, value in running.records] == [f"m{number}" for number in range(100)]
    assert running.metrics.value("headwater_ingested_events_total", source="web") == 100


async def test_an_empty_batch_is_fine(running: Running) -> None:
    assert (await running.call("/v1/batch", {"batch": []}))[0] == 200


async def test_the_write_key_may_be_in_the_body(running: Running) -> None:
    body = {"batch": [TRACK], "writeKey": "write-key-2"}
    assert (await running.call("/v1/batch", body, key=None))[0] == 200
    assert json.loads(running.records[0][1])["sourceId"] == "ios"


async def test_gzip_is_unpacked(running: Running) -> None:
    packed = gzip.compress(json.dumps({"batch": [TRACK]}).encode())
    assert (await running.call("/v1/batch", packed, headers={"Content-Encoding": "gzip"}))[0] == 200
    assert len(running.records) == 1


async def test_a_gzip_bomb_is_refused_by_its_unpacked_size(running: Running) -> None:
    packed = gzip.compress(b'{"batch": "' + b" " * 50_000_000 + b'"}')
    status, body = await running.call("/v1/batch", packed, headers={"Content-Encoding": "gzip"})
    assert (status, body["code"]) == (413, "too_large")
    assert not running.records


async def test_what_is_no_gzip_is_refused(running: Running) -> None:
    status, body = await running.call("/v1/batch", b"{not gzip", headers={"Content-Encoding": "gzip"})
    assert status == 400
    assert set(body) == {"code", "message"}


@pytest.mark.parametrize("key", ["", "write-key", "write-key-11", TOKEN, "ä"])
async def test_nobody_in_without_a_write_key(running: Running, key: str) -> None:
    for body in ({"batch": [TRACK]}, {"batch": [TRACK], "writeKey": "nope"}, {"batch": [TRACK], "writeKey": 3}):
        status, answer = await running.call("/v1/batch", body, key=key)
        assert (status, answer["code"]) == (401, "invalid_write_key")
    assert (await running.call("/v1/batch", {"batch": [TRACK]}, key=None))[0] == 401
    assert (await running.call("/v1/batch", {"batch": []}, key=None, headers={"Authorization": "Basic !"}))[0] == 401
    assert not running.records


async def test_no_success_before_the_acknowledgement(running: Running) -> None:
    asked, acknowledge = asyncio.Event(), asyncio.Event()

    async def produce() -> None:
        asked.set()
        await acknowledge.wait()

    running.produce = produce
    call = asyncio.create_task(running.call("/v1/track", TRACK))
    await asked.wait()
    assert not call.done()
    acknowledge.set()
    assert (await call)[0] == 200


async def test_what_kafka_does_not_acknowledge_is_to_be_sent_again(running: Running) -> None:
    async def produce() -> None:
        raise NotAcknowledged("no leader")

    running.produce = produce
    async with running.session.post("/v1/track", json=TRACK, headers={"Authorization": basic(KEY)}) as reply:
        assert reply.status == 503
        assert reply.headers["Retry-After"] == "1"
        assert (await reply.json())["code"] == "not_acknowledged"


async def test_a_bug_shows_nothing_of_itself(running: Running) -> None:
    async def produce() -> None:
        raise RuntimeError("canary-81ce")

    running.produce = produce
    status, body = await running.call("/v1/track", TRACK)
    assert (status, body["code"]) == (500, "internal")
    assert "canary" not in json.dumps(body)


async def test_calls_beyond_the_limit_are_put_off(running: Running) -> None:
    entered = asyncio.Semaphore(0)
    acknowledge = asyncio.Event()

    async def produce() -> None:
        entered.release()
        await acknowledge.wait()

    running.produce = produce
    calls = [asyncio.create_task(running.call("/v1/track", TRACK)) for _ in range(BODIES_IN_FLIGHT_MAX)]
    for _ in calls:
        await entered.acquire()
    status, answer = await running.call("/v1/track", TRACK)
    assert (status, answer["code"]) == (503, "overloaded")
    acknowledge.set()
    assert {status for status, _ in await asyncio.gather(*calls)} == {200}
    assert (await running.call("/v1/track", TRACK))[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "not_json"),
        (b"[1]", 400, "not_an_object"),
        (b'{"batch": 1}', 400, "bad_batch"),
        (b'{"a":' + b"[" * 100_000 + b"}", 400, "too_deep"),
        (b'{"batch": ["' + b"x" * 600_000 + b'"]}', 413, "too_large"),
    ],
)
async def test_errors_have_their_code_and_message_at_the_top(
    running: Running, body: bytes, status: int, code: str
) -> None:
    found, answer = await running.call("/v1/batch", body)
    assert (found, answer["code"]) == (status, code)
    assert isinstance(answer["message"], str)
    assert running.metrics.value("headwater_ingest_refused_events_total", reason=code) == 1


async def test_ingest_never_redirects(running: Running) -> None:
    for path in ("/v1/batch/", "/v1//batch", "/v1/nothing"):
        status, answer = await running.call(path, {"batch": []})
        assert (status, answer["code"]) == (404, "not_found")
    async with running.session.get("/v1/batch") as reply:
        assert reply.status == 405
        assert reply.headers["Allow"] == "POST"
        assert (await reply.json())["code"] == "method_not_allowed"


async def test_only_liveness_and_readiness_are_open(running: Running) -> None:
    opened = set()
    application = running.session
    for path in ("/health/live", "/health/ready", "/metrics", "/", "/openapi.json"):
        async with application.get(path) as reply:
            if reply.status not in (401, 404):
                opened.add(path)
    assert opened == {"/health/live", "/health/ready"}
    async with application.get("/health/ready") as reply:
        assert reply.status == 503
    running.part.up()
    async with application.get("/health/ready") as reply:
        assert reply.status == 200


async def test_metrics_need_a_token(running: Running) -> None:
    for headers in ({}, {"Authorization": basic(KEY)}, {"Authorization": "Bearer nope"}):
        async with running.session.get("/metrics", headers=headers) as reply:
            assert reply.status == 401
            assert (await reply.json())["error"]["code"] == "unauthorized"
    for value in (basic(TOKEN), f"Bearer {TOKEN}", f"bearer {TOKEN}"):
        async with running.session.get("/metrics", headers={"Authorization": value}) as reply:
            assert reply.status == 200
            text = await reply.text()
    assert 'headwater_http_requests_total{route="/metrics",status="401"} 3.0' in text


async def test_paths_are_no_labels(running: Running) -> None:
    for number in range(5):
        await running.call(f"/v1/u-{number}", {})
    routes = set(re.findall(r'headwater_http_requests_total\{route="([^"]*)"', running.metrics.exposition().decode()))
    assert routes == {"unknown"}
