"""A vendor to deliver to: a real HTTP server on a free port, which answers by script and stamps what arrives."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import orjson
from aiohttp import web


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request, as it came."""

    at_s: float
    """On the vendor's own monotonic clock, when its headers had been read."""
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    id: str
    """Its webhook-id."""
    attempt: int
    """From 1: how often this id has come."""

    @property
    def json(self) -> dict[str, object]:
        parsed = orjson.loads(self.body)
        assert isinstance(parsed, dict)
        return parsed


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer, and how badly."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    delay_s: float = 0.0
    """Before the first byte."""
    chunks: int = 0
    """Send the body so many times over, for replies that are huge."""
    drip_s: float = 0.0
    """Between chunks."""
    reset: bool = False
    """Cut the connection: without an answer, or with chunks after the status and some of the body."""


class Vendor:
    """`async with Vendor(script) as vendor`; `script` gives the reply to each arrival, else 200."""

    def __init__(self, script: Callable[[Arrival], Reply] | None = None) -> None:
        self.script = script or (lambda arrival: Reply())
        self.arrivals: list[Arrival] = []
        self.chunks_sent = 0
        self._attempts: Counter[str] = Counter()
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def __aenter__(self, host: str = "127.0.0.1") -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def until(self, met: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
        """Wait until the arrivals are as wanted."""
        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(met)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        at_s = time.monotonic()
        id_ = request.headers.get("webhook-id", "")
        self._attempts[id_] += 1
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        arrival = Arrival(at_s, request.method, request.path, headers, body, id_, self._attempts[id_])
        self.arrivals.append(arrival)
        reply = self.script(arrival)
        async with self._arrived:
            self._arrived.notify_all()
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if reply.chunks:
            return await self._stream(request, reply)
        if reply.reset and request.transport is not None:
            request.transport.abort()
        return web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)

    async def _stream(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
        await response.prepare(request)
        try:
            for _ in range(reply.chunks):
                await response.write(reply.body)
                self.chunks_sent += 1
                await asyncio.sleep(reply.drip_s)
        except ConnectionError:
            return response
        if reply.reset and request.transport is not None:
            request.transport.abort()
        return response
