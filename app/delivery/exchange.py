"""Carries out what a destination says to its vendor: request by request, each in its turn and with its token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from app.activation.destination import Attempt, Configured, Conversation, Memory
from app.activation.outcome import Failure, Outcome, Reason, Rejected, Response, Retry, by_failure, unreadable
from app.activation.payload import InvalidPayload, Payload
from app.activation.request import Request
from app.activation.settings import Secret
from app.clock import Clock
from app.delivery.dead_letter import Evidence
from app.delivery.slots import Slots
from app.delivery.tokens import Tokens

FENCE_CHECK_S = 0.5
TURN_S = 0.02
"""How long a turn of the rate may be kept before it is used."""
NO_TOKEN = "no access token was given"
"""Its request is not shown: it is made of secrets."""
UNEXPECTED = (KeyError, TypeError, ValueError, InvalidPayload)
"""What a destination may raise where a payload or a reply is not what it is said to be."""

Deliver = Callable[[Request, float], Awaitable[Response | Failure]]
"""(request, time-out in seconds) → answer. Never raises for what a vendor or a network does."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an exchange needs of the world; see the sender's."""

    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    deliver: Deliver
    turn: Callable[[], Awaitable[None]]
    may_send: Callable[[], bool]
    heard: Callable[[Response], None]
    """Told of each reply as it comes."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of an exchange."""

    outcome: Outcome
    evidence: Evidence
    """The last request and its answer."""
    message: str
    """The outcome in words."""
    heard: bool = True
    """False where no request was made, so that nothing is known of the vendor."""


class Exchanges:
    """Those of one destination; several may be under way."""

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        self._configured = configured
        self._around = around
        self._memory = Memory()
        self._turn = asyncio.Lock()
        timeout_s = configured.limits.timeout_s
        self._tokens = (
            Tokens(configured.token, self._in_turn, around.clock, timeout_s=timeout_s) if configured.token else None
        )

    async def turn(self) -> None:
        """Wait for the turn of one request."""
        async with self._turn:
            await self._around.turn()

    async def hold(self, payloads: Sequence[Payload], wanted: Callable[[], bool], slots: Slots) -> Ended:
        """To its end. The turn of the first request has been taken already, and a slot of the account.

        Args:
            wanted: False when nothing that comes of it is of use any more; asked before each request.
            slots: Others have the slot while nothing but time is waited for.
        """
        return await self.carry(self._configured.converse(payloads, self.attempt()), wanted, slots)

    def attempt(self) -> Attempt:
        """The surroundings of a try that begins now."""
        return Attempt(self._around.clock.now_ms() // 1000, self._memory)

    async def carry(self, conversation: Conversation, wanted: Callable[[], bool], slots: Slots) -> Ended:
        """The same with a conversation that has been made already."""
        step = _begin(conversation)
        evidence = Evidence()
        while not isinstance(step, Ended):
            if evidence.request is not None:
                await self._wait(step, slots)
            if len(step.body) > self._configured.limits.body_bytes_max:
                conversation.close()
                too_large = f"above {self._configured.limits.body_bytes_max} bytes"
                return Ended(Rejected(Reason.TOO_LARGE), evidence, too_large, heard=evidence.answer is not None)
            asked = await self._ask(step, evidence, wanted)
            if isinstance(asked, Ended):
                conversation.close()
                return asked
            evidence = asked
            step = _go_on(conversation, evidence)
        return step

    async def _in_turn(self, request: Request, timeout_s: float) -> Response | Failure:
        await self.turn()
        return await self._around.deliver(request, timeout_s)

    async def _wait(self, request: Request, slots: Slots) -> None:
        """Until it is a further request's time, and its turn."""
        if request.after_s:
            await slots.lend(self._around.sleep(request.after_s))
        await self.turn()

    async def _ask(self, request: Request, before: Evidence, wanted: Callable[[], bool]) -> Evidence | Ended:
        """The request and its reply, or the end that comes of not getting one."""
        if self._tokens is None:
            return await self._exchange(request, wanted)
        header = self._tokens.flow.header
        asked_s = self._around.clock.monotonic_s()
        token = await self._tokens.get()
        if not isinstance(token, Secret):
            return Ended(token, before, NO_TOKEN)
        await self._turn_again(asked_s)
        asked = await self._exchange(_with(request, header, token), wanted)
        if isinstance(asked, Ended) or not self._configured.token_refused(_reply(asked)):
            return asked
        renewed = await self._tokens.get(token)
        if not isinstance(renewed, Secret):
            return Ended(renewed, asked, NO_TOKEN)
        await self.turn()
        return await self._exchange(_with(request, header, renewed), wanted)

    async def _turn_again(self, since_s: float) -> None:
        """A turn that was taken a while ago is over: those who have waited together must not send together."""
        if self._around.clock.monotonic_s() - since_s > TURN_S:
            await self.turn()

    async def _exchange(self, request: Request, wanted: Callable[[], bool]) -> Evidence | Ended:
        begun_s = self._around.clock.monotonic_s()
        while wanted() and not self._around.may_send():
            await self._around.sleep(FENCE_CHECK_S)
        if wanted():
            await self._turn_again(begun_s)
        if not wanted():
            return Ended(Retry(Reason.CONNECTION), Evidence(), "given up: the partition is another's", heard=False)
        answer = await self._around.deliver(request, self._configured.limits.timeout_s)
        evidence = Evidence(request, answer)
        if isinstance(answer, Failure):
            return Ended(by_failure(answer), evidence, answer.message)
        self._around.heard(answer)
        return evidence


def _begin(conversation: Conversation) -> Request | Ended:
    try:
        return next(conversation)
    except StopIteration as end:
        return Ended(end.value, Evidence(), "no request can be made of it", heard=False)
    except UNEXPECTED as error:
        message = f"no request can be made of it: {error!r}"
        return Ended(Rejected(Reason.UNREADABLE), Evidence(), message, heard=False)


def _go_on(conversation: Conversation, evidence: Evidence) -> Request | Ended:
    reply = _reply(evidence)
    words = f"HTTP status {reply.status}"
    try:
        return conversation.send(reply)
    except StopIteration as end:
        return Ended(end.value, evidence, words)
    except UNEXPECTED as error:
        return Ended(unreadable(), evidence, f"{words}, and not as documented: {error!r}")


def _with(request: Request, header: str, token: Secret) -> Request:
    return replace(request, headers={**request.headers, header: token})


def _reply(evidence: Evidence) -> Response:
    assert isinstance(evidence.answer, Response)
    return evidence.answer
