"""The vendors, a process of their own: a fast one, whose arrivals are noted, and sick ones.

`/well/...` takes everything, one message or an array of them; `/down` answers 503, `/throttled` 429, `/silent` nothing
at all. Says its port with `ready`, how many messages have come with `taken`, and `done` when all have.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import orjson
from aiohttp import web

from benchmarks.peers.job import say

TAKEN_EVERY = 500
BODY_BYTES_MAX = 8 * 1024**2


class Receiver:
    """Takes messages and notes when each has come first."""

    def __init__(self, expected: int, log: Path) -> None:
        self._expected = expected
        self._log = log
        self._arrived: dict[str, float] = {}

    async def well(self, request: web.Request) -> web.Response:
        found = orjson.loads(await request.read())
        now_s, before = time.monotonic(), len(self._arrived)
        for call in found if isinstance(found, list) else (found,):
            self._arrived.setdefault(call["messageId"], now_s)
        count = len(self._arrived)
        if count // TAKEN_EVERY > before // TAKEN_EVERY:
            say("taken", count)
        if count >= self._expected > before:
            self._log.write_text("".join(f"{id_} {at_s:.6f}\n" for id_, at_s in self._arrived.items()))
            say("done", count)
        return web.Response()

    async def down(self, _: web.Request) -> web.Response:
        return web.Response(status=503)

    async def throttled(self, _: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "1"})

    async def silent(self, _: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()


async def serve(expected: int, log: Path) -> None:
    """Until it is stopped. When all that is expected has come, the log has a line `id seconds` for each message."""
    receiver = Receiver(expected, log)
    application = web.Application(client_max_size=BODY_BYTES_MAX)
    application.add_routes([
        web.post("/well", receiver.well), web.post("/down", receiver.down),
        web.post("/throttled", receiver.throttled), web.post("/silent", receiver.silent),
    ])  # fmt: skip
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    say("ready", runner.addresses[0][1])
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.events, arguments.log))


if __name__ == "__main__":
    main()
