"""All simulated vendors behind one port, each below its name, and how a configuration reaches them."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.vendors import events, generic, records, responsys, salesforce
from tests.vendors.list_receiver import ListReceiver
from tests.vendors.list_sites import SITES
from tests.vendors.vendor import Ask, Vendor

KINDS: tuple[type[Vendor], ...] = (
    events.Amplitude, events.Braze, events.CustomerIo, events.Iterable, events.Klaviyo, events.Mailchimp,
    events.SendGrid, responsys.Responsys, responsys.ResponsysBatch, records.HubSpot, records.Intercom, records.Marketo,
    records.Pardot, records.Resci, records.Sfmc, records.Zendesk, salesforce.Salesforce, generic.AnyHttp,
    generic.Kinesis, generic.Slack, generic.WebhookReceiver,
)  # fmt: skip

TICK_S = 0.01
BUSY_S = 10.0
"""How far around a moment this process's lateness tells of the sender's: what keeps one from its clock keeps the other,
though not at the same instant."""
WINDOWS_S = (1.0, 3.0, 10.0)
"""In which the rate is judged: the longer ones show what lasts, however late the clocks are. A worker that uses the
rate of all shows only at vendors for whom something is left all the time and who turn nobody away (`STEADY`)."""
OAUTH = {"client_id": "app", "refresh_token": "canary-refresh"}
SETTINGS: dict[str, dict[str, Any]] = {
    "amplitude": {"api_key": "canary-amplitude"},
    "braze": {"api_key": "canary-braze", "instance": "fra-01"},
    "customerio": {"site_id": "canary-site", "api_key": "canary-cio"},
    "http": {"url": "https://any.example/users/{user_id}", "auth": "bearer", "token": "canary-http"},
    "hubspot": {"access_token": "canary-hubspot"},
    "intercom": {"access_token": "canary-intercom"},
    "iterable": {"api_key": "canary-iterable", "project_type": "userId", "bulk": True},
    "kinesis": {
        "stream_name": "changes", "region": "eu-central-1", "access_key_id": "CANARYAKID",
        "secret_access_key": generic.KINESIS_KEY,
    },
    "klaviyo": {"api_key": "pk_canary", "bulk": True},
    "mailchimp": {"api_key": "canary-us6", "audience_id": "a1"},
    "marketo": {"account_id": "123-ABC-456", "client_id": "app", "client_secret": "canary-marketo"},
    "pardot": OAUTH | {"client_secret": "canary-pardot", "business_unit_id": "0Uv000000000001AAA"},
    "resci": {"api_key": "canary-resci", "users_url": "https://api.resci.example/users"},
    "responsys": {
        "api_url": "https://acme.responsys.example", "username": "api", "password": "canary-responsys",
        "list_name": "CONTACTS",
    },
    "responsys_batch": {
        "api_url": "https://acme.responsys.example", "username": "api", "password": "canary-responsys",
        "list_name": "CONTACTS",
    },
    "salesforce": OAUTH | {
        "client_secret": "canary-salesforce", "instance_url": "https://acme.my.salesforce.com",
        "match_field": "UserId__c", "bulk_from": 20,
    },
    "sendgrid": {"api_key": "canary-sendgrid"},
    "sfmc": {"subdomain": "acme", "client_id": "app", "client_secret": "canary-sfmc", "data_extension": "Audiences"},
    "slack": {
        "webhook_url": "https://hooks.slack.com/services/T0/B0/canary-slack", "template": "{email} has {value}",
    },
    "webhook": {"url": "https://hook.example/", "secret": generic.WEBHOOK_SECRET},
    "zendesk": {
        "subdomain": "acme", "email": "agent@example.com", "api_token": "canary-zendesk", "bulk": True,
    },
}  # fmt: skip


class Vendors:
    """`async with Vendors(seed) as vendors`: serves until the block ends."""

    def __init__(self, seed: int) -> None:
        self.all: dict[str, Vendor] = {kind.name: kind(seed) for kind in KINDS}
        self.lists = {name: ListReceiver(name, seed) for name in SITES}
        self.port = 0
        self.late: list[tuple[float, float]] = []
        """When this process was kept from its clock, and for how many seconds."""
        self._runner: web.AppRunner | None = None
        self._watch: asyncio.Task[None] | None = None

    def settings(self, name: str) -> dict[str, Any]:
        """A destination's settings, with which it reaches its vendor here."""
        own = self.lists[name].settings if name in self.lists else SETTINGS[name]
        return own | {"base_url": f"http://127.0.0.1:{self.port}/{name}"}

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        self._watch = asyncio.create_task(self._lateness())
        return self

    async def _lateness(self) -> None:
        """A request is stamped when this loop comes to it; on a busy machine that is later than it came."""
        while True:
            began_s = time.monotonic()
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            if now_s - began_s > 2 * TICK_S:
                self.late.append((now_s, now_s - began_s - TICK_S))

    def late_s(self, first_s: float, last_s: float) -> float:
        """The longest that it was kept in and around a stretch of time."""
        return max((late for at_s, late in self.late if first_s - BUSY_S <= at_s <= last_s + BUSY_S), default=0.0)

    def too_fast(self, vendor: Vendor | ListReceiver) -> list[str]:
        """Where a vendor was sent more than it bears; what two late clocks, the sender's and ours, explain is not."""
        spans = [
            (last, last - first, seconds)
            for seconds in WINDOWS_S
            for first, last in zip(vendor.stamps, vendor.stamps[int(vendor.per_s * seconds) :], strict=False)
        ]
        return [
            f"{vendor.name}: {span:.3f} s where {seconds:g} s were to be"
            for at_s, span, seconds in (*spans, *vendor.too_fast)
            if span + 2 * self.late_s(at_s - span, at_s) < seconds
        ]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        assert self._watch is not None
        self._watch.cancel()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name, _, path = request.raw_path.partition("?")[0].removeprefix("/").partition("/")
        if name in self.lists:
            return await self.lists[name].answer(request, f"/{path}")
        vendor = self.all[name]
        with vendor.under_way():
            body = await request.read()
            headers = {header.lower(): value for header, value in request.headers.items()}
            try:
                answer = vendor.receive(Ask(request.method, f"/{path}", request.query_string, headers, body))
            except Exception as error:  # what no vendor would understand is a finding, and not the server's end
                vendor.odd.append(f"{request.method} /{path}: {error!r}: {body[:200]!r}")
                return web.Response(status=400)
            await asyncio.sleep(vendor.takes_s)
        if answer.reset and request.transport is not None:
            request.transport.abort()
        json_ = {} if answer.raw is not None or answer.value is None else {"Content-Type": "application/json"}
        return web.Response(status=answer.status, body=answer.body, headers={**json_, **answer.headers})
