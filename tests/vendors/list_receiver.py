"""A vendor of lists behind HTTP: it asks who is there, fails now and then, and notes when it was asked what."""

from __future__ import annotations

import time
from base64 import b64decode
from collections import Counter
from random import Random
from typing import Any

from aiohttp import web

from app.activation.destination import Request
from app.activation.outcome import Response
from tests.contract.destination_fixtures import fixture
from tests.vendors.list_sites import RATES, SITES
from tests.vendors.vendor import PAGE

FAULTS = {"down": 4, "lost": 4}
"""Fault → of how many in a hundred requests."""
WORKS_S = 0.5
"""What a vendor works on is done after it: nobody waits for hours here."""
SETTINGS: dict[str, dict[str, Any]] = {
    "http_lists": {"errors_path": "failed", "batch": 100},
    "marketo_static_lists": {"import_from": 40},
}
"""Beside those of the fixture."""


class ListReceiver:
    """One type's. Nothing of it outlives the loop that it serves in."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.per_s: float = RATES[name]
        self.site = SITES[name]()
        self.site.works_s = WORKS_S
        self.stamps: list[float] = []
        """When a request came; monotonic."""
        self.odd: list[str] = []
        """Requests that the documentation knows nothing of, or that nobody has signed."""
        self.told: Counter[str] = Counter()
        """Fault → how often."""
        self._lot = Random(f"{seed}/{name}")

    @property
    def settings(self) -> dict[str, Any]:
        return fixture(self.name)["settings"] | SETTINGS.get(self.name, {})

    @property
    def too_fast(self) -> list[tuple[float, float, float]]:
        return self.site.too_fast

    async def answer(self, request: web.Request, path: str) -> web.StreamResponse:
        body = await request.read()
        self.stamps.append(time.monotonic())
        if not signed(request, body):
            self.odd.append(f"{request.method} {path}: nobody's")
            return web.Response(status=401)
        fault = self._fault()
        if fault == "down":
            return web.Response(status=503, body=PAGE)
        lists = len(self.site.lists)
        url = f"http://vendor{path}?{request.query_string}"
        try:
            said = await self.site.deliver(Request(request.method, url, request.headers, body), 0.0)
        except Exception as error:  # what no vendor would understand is a finding, and not the server's end
            self.odd.append(f"{request.method} {path}: {error!r}: {body[:200]!r}")
            return web.Response(status=400)
        # Of a list that was made without the sender's knowledge there would be two.
        if fault == "lost" and len(self.site.lists) == lists and request.transport is not None:
            request.transport.abort()
        assert isinstance(said, Response), "a site loses nothing here"
        return web.Response(status=said.status, headers=said.headers, body=said.body)

    def _fault(self) -> str:
        (fault,) = self._lot.choices([*FAULTS, ""], [*FAULTS.values(), 100 - sum(FAULTS.values())])
        if fault:
            self.told[fault] += 1
        return fault


def signed(request: web.Request, body: bytes) -> bool:
    """Whether a credential is there, wherever the vendor wants it: they all have a canary in them."""
    kind, _, login = request.headers.get("Authorization", "").partition(" ")
    basic = b64decode(login).decode() if kind == "Basic" else ""
    return "canary" in " ".join([basic, request.query_string, *request.headers.values(), body.decode()])
