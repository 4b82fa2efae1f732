"""The listener that every worker process has: `/health/live`, `/health/ready`, `/metrics`."""

from __future__ import annotations

import json

from aiohttp import web

from app.observability.health import Health
from app.observability.metrics import CONTENT_TYPE, Metrics


def health_routes(health: Health) -> list[web.RouteDef]:
    """Open to all: they tell the parts' names and states, nothing of the data."""

    async def live(_: web.Request) -> web.Response:
        report = health.report()
        return _answer(report.live, {"live": report.live})

    async def ready(_: web.Request) -> web.Response:
        report = health.report()
        return _answer(report.ready, {"ready": report.ready, "parts": dict(report.parts)})

    return [web.get("/health/live", live), web.get("/health/ready", ready)]


def metrics_response(metrics: Metrics) -> web.Response:
    return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})


class HealthServer:
    """A small HTTP server beside a worker's real work; it binds to loopback unless told otherwise."""

    def __init__(self, health: Health, metrics: Metrics, *, host: str = "127.0.0.1", port: int = 0) -> None:
        async def exposition(_: web.Request) -> web.Response:
            return metrics_response(metrics)

        app = web.Application()
        app.add_routes([*health_routes(health), web.get("/metrics", exposition)])
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        self._host = host
        self._port = port

    async def start(self) -> str:
        """Listen; gives the address, `http://127.0.0.1:43021`."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        await self._runner.cleanup()


def _answer(good: bool, body: dict[str, object]) -> web.Response:
    return web.Response(status=200 if good else 503, text=json.dumps(body) + "\n", content_type="application/json")
