"""The API's routes, its middleware, and the shapes of its errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import hdrs, web

from app.api import messages
from app.api.auth import Credentials, presented
from app.api.messages import Arrival, Refused
from app.clock import Clock
from app.events.model import MESSAGE_TYPES
from app.observability import logs
from app.observability.catalogue import HTTP_REQUESTS, HTTP_SECONDS, INGEST_REFUSED, INGESTED
from app.observability.health import Health
from app.observability.metrics import Metrics
from app.observability.server import health_routes, metrics_response

Record = tuple[bytes | None, bytes]
Produce = Callable[[Sequence[Record]], Awaitable[None]]
"""Records (key, value) to `events.raw`, in order; returns when Kafka has acknowledged all of them, else raises."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODIES_IN_FLIGHT_MAX = 128
"""Tracking calls read or produced at once; each may hold a body of 500 KB and what it unpacks to."""
BODY_TIMEOUT_S = 30.0
ACK_TIMEOUT_S = 30.0
RETRY_AFTER_S = 1
_TRACKING = "/v1/"


class NotAcknowledged(Exception):
    """Kafka has not said that it has the records: they may or may not be there, so the caller has to send again."""


class Server:
    """The application; `runtime` gives it an address and Kafka."""

    def __init__(
        self, credentials: Credentials, produce: Produce, health: Health, metrics: Metrics, clock: Clock
    ) -> None:
        self._credentials = credentials
        self._produce = produce
        self._metrics = metrics
        self._clock = clock
        self._log = logs.get("api")
        self._bodies = 0
        # aiohttp counts unpacked bytes against this, so a small gzip body cannot become a large one.
        self.application = web.Application(
            middlewares=[self._measured, self._errors], client_max_size=messages.BATCH_BYTES_MAX
        )
        self.application.add_routes(
            [
                *health_routes(health),
                web.get("/metrics", self._exposition),
                *(web.post(f"{_TRACKING}{kind}", self._single(kind)) for kind in sorted(MESSAGE_TYPES)),
                web.post(f"{_TRACKING}batch", self._batch),
            ]
        )

    def _single(self, kind: str) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            return await self._ingest(request, lambda body, arrival: [messages.single(kind, body, arrival)])

        return handle

    async def _batch(self, request: web.Request) -> web.Response:
        return await self._ingest(request, messages.batch)

    async def _ingest(
        self, request: web.Request, records: Callable[[dict[str, messages.Json], Arrival], list[Record]]
    ) -> web.Response:
        if self._bodies >= BODIES_IN_FLIGHT_MAX:
            raise Refused("overloaded", "too many calls at once; send again", status=503)
        self._bodies += 1
        try:
            body = messages.parse(await _body(request))
            source = self._source(request, body)
            made = records(body, Arrival(source, self._clock.now_ms()))
            await self._acknowledged(made)
        finally:
            self._bodies -= 1
        self._metrics[INGESTED].labels(source).inc(len(made))
        return web.json_response({"success": True})

    def _source(self, request: web.Request, body: dict[str, messages.Json]) -> str:
        """The id of the source that the write key stands for; the header counts before the body."""
        in_body = body.get("writeKey")
        key = presented(request) or (in_body if isinstance(in_body, str) else None)
        source = self._credentials.write_keys.owner(key) if key else None
        if source is None:
            raise Refused("invalid_write_key", "the write key is missing or unknown", status=401)
        return source.id

    async def _acknowledged(self, records: list[Record]) -> None:
        if not records:
            return
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S):
                await self._produce(records)
        except (TimeoutError, NotAcknowledged) as error:
            self._log.warning("not acknowledged", records=len(records), error=str(error) or "timeout")
            raise Refused("not_acknowledged", "the events could not be stored; send again", status=503) from None

    async def _exposition(self, request: web.Request) -> web.Response:
        token = presented(request)
        if token is None or self._credentials.tokens.owner(token) is None:
            raise Refused("unauthorized", "an API token is needed, as Basic user name or Bearer", status=401)
        return metrics_response(self._metrics)

    @web.middleware
    async def _measured(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started_s = self._clock.monotonic_s()
        # The route's pattern, never the path that was asked for: labels are bounded.
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        response = await handler(request)
        self._metrics[HTTP_REQUESTS].labels(route, str(response.status)).inc()
        self._metrics[HTTP_SECONDS].labels(route).observe(self._clock.monotonic_s() - started_s)
        return response

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as error:
            if request.path.startswith(_TRACKING):
                self._metrics[INGEST_REFUSED].labels(error.code).inc()
            return _error(request, error.status, error.code, error.message)
        except web.HTTPRequestEntityTooLarge:
            self._metrics[INGEST_REFUSED].labels("too_large").inc()
            limit = messages.BATCH_BYTES_MAX
            return _error(request, 413, "too_large", f"a body may have {limit} bytes unpacked")
        except web.HTTPException as error:
            code = {404: "not_found", 405: "method_not_allowed"}.get(error.status, "bad_request")
            answer = _error(request, error.status, code, error.reason)
            if hdrs.ALLOW in error.headers:
                answer.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
            return answer
        except Exception:
            # The last line of defence: whatever is wrong here must not end the process or show itself to the caller.
            self._log.exception("failed", route=request.path.partition("?")[0][:100])
            return _error(request, 500, "internal", "an error on our side; it is in the log")


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise Refused("too_slow", f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s", status=408) from None
    except web.RequestPayloadError:
        raise Refused("bad_encoding", "the body does not unpack as its Content-Encoding says") from None


def _error(request: web.Request, status: int, code: str, message: str) -> web.Response:
    fault = {"code": code, "message": message}
    # The SDKs read code and message at the top, and take an error without them for a network failure.
    body: dict[str, object] = dict(fault) if request.path.startswith(_TRACKING) else {"error": fault}
    response = web.Response(status=status, text=json.dumps(body), content_type="application/json")
    if status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="headwater"'
    if status == 503:
        response.headers[hdrs.RETRY_AFTER] = str(RETRY_AFTER_S)
    return response
