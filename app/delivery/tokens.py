"""A destination's access token: asked for when first needed, kept, and renewed before it ends or when it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from app.activation.outcome import Failure, Outcome, Response, by_failure
from app.activation.request import Request
from app.activation.settings import Secret
from app.activation.token import Token, TokenFlow
from app.clock import Clock

Deliver = Callable[[Request, float], Awaitable[Response | Failure]]


class Tokens:
    """See the module. Whoever comes while one is asked for waits for that one."""

    def __init__(self, flow: TokenFlow, deliver: Deliver, clock: Clock, *, timeout_s: float) -> None:
        self.flow = flow
        self._deliver = deliver
        self._clock = clock
        self._timeout_s = timeout_s
        self._header: Secret | None = None
        self._until_s = 0.0
        self._asking = asyncio.Lock()

    async def get(self, refused: Secret | None = None) -> Secret | Outcome:
        """The header's value, or what its absence means.

        Args:
            refused: What the vendor did not accept. Another one, if it has been got meanwhile, is given as it is.
        """
        async with self._asking:
            if refused is not None and self._header == refused:
                self._header = None
            if self._header is not None and self._clock.monotonic_s() < self._until_s:
                return self._header
            asked_s = self._clock.monotonic_s()
            request = self.flow.ask(self._clock.now_ms() // 1000)
            answer = await self._deliver(request, self._timeout_s)
            if isinstance(answer, Failure):
                return by_failure(answer)
            read = self.flow.read(answer, self._clock.now_ms() / 1000)
            if not isinstance(read, Token):
                return read
            self._header, self._until_s = read.header, asked_s + read.lifetime_s
            return self._header
