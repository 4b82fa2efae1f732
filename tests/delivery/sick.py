"""Vendors that are ill, each in its way, in a process of their own: `python -m tests.delivery.sick` until stdin ends.

With `well` behind it, one vendor that answers at once. The first line on stdout is JSON: name → URL.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

from tests.vendor import Arrival, Reply, Vendor

SICK: dict[str, Callable[[Arrival], Reply]] = {
    "slow": lambda arrival: Reply(delay_s=60),
    "throttling": lambda arrival: Reply(429, {"Retry-After": "1"}),
    "failing": lambda arrival: Reply(503),
    "unauthorized": lambda arrival: Reply(401),
    "gone": lambda arrival: Reply(410),
    "moved": lambda arrival: Reply(302, {"Location": "http://127.0.0.1:1/"}),
    "huge": lambda arrival: Reply(200, body=b"x" * 65_536, chunks=16_384, drip_s=0.01),
    "dripping": lambda arrival: Reply(200, body=b"x", chunks=1_000, drip_s=0.2),
    "cut": lambda arrival: Reply(reset=True),
}


WELL: dict[str, Callable[[Arrival], Reply]] = {"well": lambda arrival: Reply()}


async def main(scripts: dict[str, Callable[[Arrival], Reply]]) -> None:
    async with AsyncExitStack() as stack:
        vendors = {name: await stack.enter_async_context(Vendor(script)) for name, script in scripts.items()}
        print(json.dumps({name: vendor.url for name, vendor in vendors.items()}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(WELL if "well" in sys.argv else SICK))
