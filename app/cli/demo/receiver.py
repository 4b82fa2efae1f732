"""The tool at the other end: a local web server that takes the demo's webhooks as a careful receiver would.

It believes only what is signed, takes each webhook-id once, and keeps what it was told in order. Now and then it is
broken or busy, by a seeded script, so that retries are seen at work: the first try of such a message is turned away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TypedDict

import orjson
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

HOST = "127.0.0.1"
PATH = "/hooks/crm"
BROKEN_EVERY = 100
"""Messages, about, from one 500 to the next."""
BUSY_EVERY = 600
"""Messages, about, from one 503 to the next. Without a Retry-After: that would stop the whole destination, and the
latencies that the demo shows would be those of the script."""
_BODY_BYTES_MAX = 1 << 20

OnValue = Callable[["Value"], None]
Place = tuple[str, str, str]
"""Who, the definition's key, the call (identify or track)."""


@dataclass(frozen=True, slots=True)
class Value:
    """One change as it was delivered."""

    who: str
    key: str
    call: str
    value: object
    position: int
    """How many of the same place came before."""


@dataclass(slots=True)
class Received:
    """What came in, and how."""

    values: dict[Place, list[object]] = field(default_factory=lambda: defaultdict(list))
    """In order of acceptance, repeats left out."""
    requests_count: int = 0
    delivered_count: int = 0
    repeats_count: int = 0
    """Requests whose webhook-id had been taken before: allowed, and dropped."""
    turned_away_count: int = 0
    """Requests answered 503 or 500 by the script; each must come again."""
    forged_count: int = 0
    """Requests whose signature did not fit."""
    unreadable_count: int = 0
    """Signed requests that are not the call they should be."""


class _Computation(TypedDict):
    computation_key: str


class Receiver:
    """The web server. Start it, give `url` to the configuration, stop it."""

    def __init__(self, secret: str, *, seed: int, on_value: OnValue = lambda value: None) -> None:
        self._webhook = Webhook(secret)
        self._random = Random(seed)
        self._until_broken = self._random.randint(1, BROKEN_EVERY // 2)
        self._until_busy = self._random.randint(1, BUSY_EVERY // 2)
        self._on_value = on_value
        self._taken: set[str] = set()
        self._turned_away: set[str] = set()
        self._runner: web.AppRunner | None = None
        self.received = Received()
        self.url = ""

    async def start(self) -> None:
        """Listen on a free port of the loopback address."""
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.router.add_post(PATH, self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://{HOST}:{port}{PATH}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        return self.answer(await request.read(), dict(request.headers))

    def answer(self, body: bytes, headers: Mapping[str, str]) -> web.Response:
        """Judge one request and remember what it says."""
        received = self.received
        received.requests_count += 1
        try:
            self._webhook.verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            received.forged_count += 1
            return web.json_response({"error": "the signature does not fit"}, status=401)
        webhook_id = next(value for name, value in headers.items() if name.lower() == "webhook-id")
        if webhook_id in self._taken:
            received.repeats_count += 1
            return web.json_response({"status": "known"})
        refusal = self._scripted(webhook_id)
        if refusal is not None:
            received.turned_away_count += 1
            return refusal
        try:
            who, key, call, value = read_call(body)
        except (KeyError, TypeError, ValueError):
            received.unreadable_count += 1
            return web.json_response({"error": "not a call of an audience or a trait"}, status=400)
        self._taken.add(webhook_id)
        received.delivered_count += 1
        before = received.values[who, key, call]
        before.append(value)
        self._on_value(Value(who, key, call, value, len(before) - 1))
        return web.json_response({"status": "taken"})

    def _scripted(self, webhook_id: str) -> web.Response | None:
        """Count down to the next message to be turned away, and to none that was turned away before."""
        if webhook_id in self._turned_away:
            return None
        self._until_broken -= 1
        self._until_busy -= 1
        if self._until_broken > 0 and self._until_busy > 0:
            return None
        self._turned_away.add(webhook_id)
        if self._until_busy <= 0:
            self._until_busy = self._random.randint(BUSY_EVERY // 2, BUSY_EVERY * 3 // 2)
            return web.json_response({"error": "busy"}, status=503)
        self._until_broken = self._random.randint(BROKEN_EVERY // 2, BROKEN_EVERY * 3 // 2)
        return web.json_response({"error": "out of order"}, status=500)


def read_call(body: bytes) -> tuple[str, str, str, object]:
    """Who, key, call and value of an identify or track call made by an audience or a trait.

    Raises:
        KeyError, TypeError, ValueError: it is no such call.
    """
    message = orjson.loads(body)
    call = message["type"]
    computation: _Computation = message["context"]["personas"]
    key = computation["computation_key"]
    user = message.get("userId")
    who = f"user_id:{user}" if user is not None else f"anonymous_id:{message['anonymousId']}"
    if call == "identify":
        return who, key, call, message["traits"][key]
    if call == "track":
        return who, key, call, message["properties"][key]
    raise ValueError(call)
