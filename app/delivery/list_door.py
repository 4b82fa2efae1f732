"""What stands between the lists of a destination and their vendor: pauses, the rate, tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.activation.destination import Attempt, Conversation
from app.activation.outcome import Delivered, Disabled, Outcome, Partial, Pause, Reason, Rejected, Response, Retry
from app.activation.request import Request
from app.clock import Clock
from app.delivery.exchange import Ended, Exchanges
from app.delivery.gate import Gate, LaneState, Permission
from app.delivery.slots import Slots
from app.observability import logs

log = logs.get("lists")
T = TypeVar("T")

LOOK_EVERY_S = 1.0
OUTCOMES = (Delivered, Retry, Rejected, Pause, Disabled, Partial)


@dataclass(frozen=True, slots=True)
class Said(Generic[T]):
    """What a conversation came to."""

    ended: Ended
    value: T | None
    """What it ended with, where that is no outcome."""
    requests: int


class Door:
    """One destination's. Its lists pass it one request at a time each."""

    def __init__(
        self, name: str, exchanges: Exchanges, gate: Gate, clock: Clock, sleep: Callable[[float], Awaitable[None]],
        *, in_flight_max: int, hold_s_max: float, account: Slots,
    ) -> None:  # fmt: skip
        """
        Args:
            account: Shared with those who use the same vendor account.
        """
        self._slots = asyncio.Semaphore(in_flight_max)
        self._account = account
        account.listen(self._hold)
        self._name = name
        self._exchanges = exchanges
        self._gate = gate
        self._clock = clock
        self._sleep = sleep
        self._hold_s_max = hold_s_max

    async def admitted(self) -> bool:
        """Wait until a request may be made; gives whether it is a probe.

        `talk` or `unused` follows.
        """
        await self._slots.acquire()
        probe = False
        try:
            while (permission := self._gate.permission(self._clock.monotonic_s())) is Permission.SHUT:
                await self._sleep(LOOK_EVERY_S)
            if permission is Permission.PROBE:
                self._gate.probe_sent()
                probe = True
            await self._account.take()
        except BaseException:
            self._leave(probe)
            raise
        return probe

    def unused(self, probe: bool) -> None:
        """There was nothing to say after all."""
        self._account.give_back()
        self._leave(probe)

    def _leave(self, probe: bool) -> None:
        self._slots.release()
        if probe:
            self._gate.probe_unsent()

    async def talk(
        self, begin: Callable[[Attempt], Generator[Request, Response, T | Outcome]], *, probe: bool
    ) -> Said[T]:
        """Hold a conversation to its end.

        The turn of its first request is taken here, when all is written down: a turn that is kept meanwhile would be
        used together with those behind it.
        """
        try:
            await self._exchanges.turn()
            heard, sent_s = _Listening(begin(self._exchanges.attempt())), self._clock.monotonic_s()
            ended = await self._exchanges.carry(heard.talk(), lambda: True, self._account)
        except BaseException:
            self.unused(probe)
            raise
        self._account.give_back()
        self._slots.release()
        self._tell_account(ended, sent_s)
        self._tell_gate(ended, probe=probe)
        return Said(ended, heard.value, heard.requests)

    def _hold(self, seconds: float) -> None:
        self._gate.hold(self._clock.monotonic_s() + min(seconds, self._hold_s_max))

    def _tell_account(self, ended: Ended, sent_s: float) -> None:
        now_s = self._clock.monotonic_s()
        match ended.outcome:
            case Retry(Reason.THROTTLED, after_s, _):
                self._account.throttled(sent_s=sent_s, now_s=now_s, after_s=after_s)
            case Delivered() | Rejected() | Partial() if ended.heard:
                self._account.went_through(sent_s=sent_s, now_s=now_s)

    def _tell_gate(self, ended: Ended, *, probe: bool) -> None:
        now_s, before = self._clock.monotonic_s(), self._gate.state
        if not ended.heard:
            if probe:
                self._gate.probe_unsent()
            return
        match ended.outcome:
            case Pause(reason) | Disabled(reason):
                self._gate.stop(LaneState.PAUSED, reason, probe=probe, now_s=now_s)
            case Retry(reason, after_s, _):
                if after_s is not None:
                    self._hold(after_s)
                if probe or reason is not Reason.THROTTLED:  # who has too much to do is not down
                    self._gate.answered(failed=True, probe=probe, now_s=now_s)
            case _:
                self._gate.answered(failed=False, probe=probe, now_s=now_s)
        if self._gate.state is not before:
            line = log.info if self._gate.state is LaneState.RUNNING else log.error
            line("the lists are " + self._gate.state, destination=self._name, reason=str(self._gate.reason or ""))


class _Listening(Generic[T]):
    """Counts a conversation's requests, and keeps what it ends with."""

    def __init__(self, inner: Generator[Request, Response, T | Outcome]) -> None:
        self.requests = 0
        self.value: T | None = None
        self._inner = inner

    def talk(self) -> Conversation:
        try:
            request = next(self._inner)
            while True:
                self.requests += 1
                response = yield request
                request = self._inner.send(response)
        except StopIteration as end:
            if isinstance(end.value, OUTCOMES):
                outcome: Outcome = end.value
                return outcome
            self.value = end.value
            return Delivered()
