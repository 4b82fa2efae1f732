"""The loop around a lane: waits for its turn, sends, tells the lane what came of it, writes dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from app.activation.destination import Configured
from app.activation.outcome import Delivered, Partial, Reason, Rejected, Response, Retry
from app.activation.payload import Payload
from app.clock import Clock
from app.delivery import exchange
from app.delivery.dead_letter import Position, dead_letter, position_headers
from app.delivery.exchange import FENCE_CHECK_S, Deliver, Ended, Exchanges
from app.delivery.lane import Lane
from app.delivery.slots import Slots
from app.delivery.work import Batch, Dead, Record
from app.stages import regulations
from app.topics import Topics

DRAIN_S = 3.0
"""How long a partition that is taken away waits for its requests under way; then its next owner sends them again."""
TAKEN_MAX = 100
"""Records taken without giving way, some 2 ms: a fetch of a destination's backlog must not hold up the others."""
Publish = Callable[[str, bytes | None, bytes, Sequence[tuple[str, bytes]]], Awaitable[None]]
"""(topic, key, value, headers); returns after the broker's ack and retries until then. What it raises ends the sender,
and nothing is lost, because the offset was not settled."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a sender needs of the world, given to it so that tests and simulations can give their own."""

    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    deliver: Deliver
    publish: Publish
    turn: Callable[[], Awaitable[None]]
    """Waits until the rate allows one more request; one task at a time waits in it."""
    may_send: Callable[[], bool]
    """False while this worker may have lost its partitions without knowing: asked before each request."""
    failpoint: Callable[[str], None]


class Sender:
    """One destination's delivery. `run` works until `stop`, or until it is cancelled."""

    def __init__(
        self,
        name: str,
        configured: Configured,
        lane: Lane,
        surroundings: Surroundings,
        *,
        topics: Topics,
        account: Slots | None = None,
    ) -> None:
        """`account`: shared with those who use the same vendor account; without it nobody does."""
        assert configured.sends, f"{name}: a destination of type {configured.type} has no sender"
        self._name = name
        self._configured = configured
        self._lane = lane
        self._around = surroundings
        self._exchanges = Exchanges(
            configured,
            exchange.Surroundings(
                clock=surroundings.clock,
                sleep=surroundings.sleep,
                deliver=surroundings.deliver,
                turn=surroundings.turn,
                may_send=surroundings.may_send,
                heard=self._heard,
            ),
        )
        self._topic = topics.destination(name)
        self._dead_topic = topics.destination_dead(name)
        self._receipts_topic = topics.regulations
        self._slots = asyncio.Semaphore(configured.limits.batches_max)
        """Its own, until the dead letters of a batch are written too."""
        self._account = account or Slots(configured.limits.in_flight_max)
        self._account.listen(self._hold)
        self._stirred = asyncio.Event()
        self._room = asyncio.Event()
        self._stopping = False
        self._draining = False
        self._idle = asyncio.Event()
        self._takes_turn = False
        """Whether it waits for the rate."""

    async def take(self, partition: int, records: Sequence[Record]) -> None:
        """Take over records of one partition, in order; waits while the lane is full.

        Revoking the partition meanwhile drops them, and sets free who waits here.
        """
        assignment = self._lane.assignment(partition)
        for first in range(0, len(records), TAKEN_MAX):
            if first:
                await asyncio.sleep(0)
            while assignment is not None and not assignment.revoked and not self._lane.has_room:
                self._room.clear()
                await self._room.wait()
            if assignment is None or assignment.revoked:
                return
            dead = self._lane.take(partition, records[first : first + TAKEN_MAX])
            self._stir()
            await self._bury(dead)

    def assign(self, partition: int, next_offset: int, note: str = "") -> None:
        """The partition is ours from this offset on; `note` is its last owner's."""
        self._lane.assign(partition, next_offset, note)
        self._stir()

    def revoke(self, partition: int) -> None:
        """The partition is another's; its payloads are dropped here."""
        self._lane.revoke(partition)
        self._stir()

    async def suspend(self) -> None:
        """Begin no more requests until `go_on`; what is under way gets a moment to end, else it is sent again."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.drain(), DRAIN_S)

    def committable(self, partition: int) -> int | None:
        """The offset that may be committed; None for a partition that is not ours."""
        return self._lane.committable(partition)

    def note(self, partition: int) -> str:
        """What is settled behind that offset; to be committed with it."""
        return self._lane.note(partition)

    async def drain(self) -> None:
        """Begin no more requests until `go_on`; returns when those under way are settled."""
        self._draining = True
        self._idle.clear()
        self._stir()
        await self._idle.wait()

    def go_on(self) -> None:
        """After `drain`."""
        self._draining = False
        self._stir()

    def overdue(self, waiting: int) -> int:
        """Records that something should be happening to; for the watchdog.

        0 while all of them wait by right: for the moment of a retry, the rate, an operator, or a vendor that is
        down or asked for a pause.

        Args:
            waiting: Records that the lane has not taken yet. They wait by right while it has no room.
        """
        lane = self._lane
        if lane.under_way > 0 or (lane.ready(self._around.clock.monotonic_s()) and not self._takes_turn):
            return lane.pending + waiting
        return waiting if lane.has_room else 0

    def resume(self) -> None:
        """By hand, after a pause, a brake or a receiver that was gone."""
        self._lane.resume(self._around.clock.monotonic_s())
        self._stir()

    def drop_erased(self) -> None:
        """There are more erased profiles."""
        self._lane.drop_erased()
        self._stir()

    def stop(self) -> None:
        """Begin no more requests; `run` returns when those in flight are settled."""
        self._stopping = True
        self._stir()

    async def run(self) -> None:
        """Send until stopped. Raises only for faults of ours or of `publish`."""
        async with asyncio.TaskGroup() as requests:
            while True:
                await self._slots.acquire()
                batch = await self._next_batch()
                if batch is None:
                    self._slots.release()
                    return
                requests.create_task(self._serve(batch))

    async def _next_batch(self) -> Batch | None:
        """None when stopping."""
        clock = self._around.clock
        while True:
            self._stirred.clear()
            if self._stopping:
                return None
            if self._draining:
                await self._stirred.wait()
                continue
            if not self._lane.ready(clock.monotonic_s()):
                await self._until(self._lane.wake_s())
                continue
            self._takes_turn = True
            await self._account.take()  # first, so that no turn of the rate is kept while one waits for a slot
            batch = None
            try:
                await self._exchanges.turn()
                self._takes_turn = False
                if self._around.may_send():
                    batch = None if self._resting else self._lane.next_batch(clock.monotonic_s())
                    self._room.set()
                else:
                    await self._around.sleep(FENCE_CHECK_S)
            finally:
                if batch is None:
                    self._account.give_back()
            if batch is not None:
                return batch

    async def _serve(self, batch: Batch) -> None:
        first = batch.payloads[0]  # a deletion is a batch of its own
        barred = self._configured.bars_erasure(first) if first.is_erasure else None
        dead: list[Dead] = []
        if barred is None:
            dead = await self._send(batch)
        else:
            self._account.give_back()
            await self._receipt(first, "no_identifier" if barred is Reason.NO_IDENTIFIER else "not_supported")
            self._lane.pass_over(batch, barred)
        self._stir()
        await self._bury(dead)
        self._stir()
        self._slots.release()

    async def _send(self, batch: Batch) -> list[Dead]:
        sent_s = self._around.clock.monotonic_s()
        try:
            ended = await self._exchanges.hold(batch.payloads, lambda: batch.wanted, self._account)
            self._tell_account(ended, sent_s)
        finally:
            self._account.give_back()
        first = batch.payloads[0]
        if first.is_erasure and isinstance(ended.outcome, Delivered):
            await self._receipt(first, "delivered")
        return self._lane.settle(
            batch,
            ended.outcome,
            evidence=ended.evidence,
            message=ended.message,
            now_s=self._around.clock.monotonic_s(),
            heard=ended.heard,
        )

    def _tell_account(self, ended: Ended, sent_s: float) -> None:
        now_s = self._around.clock.monotonic_s()
        match ended.outcome:
            case Retry(Reason.THROTTLED, after_s, _):
                self._account.throttled(sent_s=sent_s, now_s=now_s, after_s=after_s)
            case Delivered() | Rejected() | Partial() if ended.heard:
                self._account.went_through(sent_s=sent_s, now_s=now_s)

    def _hold(self, seconds: float) -> None:
        self._lane.hold(self._around.clock.monotonic_s(), seconds)
        self._stir()

    def _heard(self, response: Response) -> None:
        self._lane.heard()
        if 200 <= response.status <= 299:
            self._around.failpoint("after_http_2xx")

    async def _bury(self, dead: Sequence[Dead]) -> None:
        for one in dead:
            if one.progress.revoked:
                continue
            value = dead_letter(
                one.value,
                reason=one.reason,
                message=one.message,
                attempts=one.attempts,
                at_ms=self._around.clock.now_ms(),
                evidence=one.evidence,
                secrets=self._configured.secrets,
            )
            headers = position_headers(Position(self._topic, one.progress.partition, one.offset), one.reason)
            if one.item is not None:
                headers.append(("message-id", one.item.payload.id.encode()))
            await self._around.publish(self._dead_topic, one.key, value, headers)
            if one.item is not None and one.item.payload.is_erasure:
                await self._receipt(one.item.payload, "refused", one.reason)
            self._lane.buried(one, self._around.clock.monotonic_s())
            self._stir()

    async def _receipt(self, payload: Payload, outcome: regulations.SettledOutcome, reason: str = "") -> None:
        """What became of a deletion, acknowledged before it counts as settled: a receipt must not wait for ever."""
        settled = regulations.Settled(
            payload.computation.id, payload.id, payload.profile, self._name, outcome,
            dropped=self._lane.dropped.pop(payload.profile, 0), reason=reason,
        )  # fmt: skip
        key, value, headers = regulations.record(settled)
        assert value is not None
        await self._around.publish(self._receipts_topic, key, value, headers)

    @property
    def _resting(self) -> bool:
        return self._stopping or self._draining

    def _stir(self) -> None:
        """Something happened: whoever waits looks again."""
        self._stirred.set()
        self._room.set()
        if self._draining and self._lane.under_way == 0:
            self._idle.set()

    async def _until(self, wake_s: float | None) -> None:
        """Wait until something happens, or that moment has come."""
        if wake_s is None:
            await self._stirred.wait()
            return
        stirred = asyncio.ensure_future(self._stirred.wait())
        slept = asyncio.ensure_future(self._around.sleep(max(wake_s - self._around.clock.monotonic_s(), 0.0)))
        try:
            await asyncio.wait((stirred, slept), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stirred.cancel()
            slept.cancel()
