"""One destination's decisions: what is sent next, and what follows from its outcome. It sends nothing itself.

A plain object: no I/O, no clock, no chance but the jitter given to it; times are monotonic seconds that the caller
tells. So a simulation runs the very same one.

    take ─► line ─► in flight ─┬─► delivered, filtered ─────────────────► settled
             ▲                 ├─► rejected, given up ─► dead ─► buried ─► settled
             └── parked ◄──────┴─► retry

Who goes when is the line's business (`line.py`); what comes of it, and whether anything may go at all, is decided here.

Of an erased profile nothing is sent any more but what the erasure itself tells; the rest is filtered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence

from app.activation.destination import Configured, Place
from app.activation.outcome import Delivered, Disabled, Outcome, Partial, Pause, Reason, Rejected, Retry
from app.activation.payload import InvalidPayload, Payload, parse_payload
from app.delivery.breaker import BreakerState
from app.delivery.dead_letter import Brake, Evidence
from app.delivery.gate import Gate, LaneState, Permission
from app.delivery.line import Line
from app.delivery.progress import Item, Progress
from app.delivery.retry import delay_s, gives_up
from app.delivery.work import Batch, Dead, Fact, LaneSettings, Record, Settled, StateChanged
from app.transport.notes import read_note, write_note

NOTHING = Evidence()


class Lane:
    """See the module. Not for several threads."""

    def __init__(
        self,
        configured: Configured,
        settings: LaneSettings,
        *,
        jitter: Callable[[], float],
        observe: Callable[[Fact], None],
        erased: Container[str] = frozenset(),
    ) -> None:
        """`jitter` gives numbers uniform in [0, 1); `observe` hears every fact, at once; `erased` has the ids of erased
        profiles: when there are more, `drop_erased` is to be called."""
        self.in_flight = 0
        """Requests."""
        self.answered = 0
        """Rises with every batch that came to something, and with every dead letter; for the watchdog."""
        self._limits = configured.limits
        self._configured = configured
        self._settings = settings
        self._jitter = jitter
        self._observe = observe
        self._gate = Gate(settings.breaker, probe_every_s=settings.probe_every_s)
        self._brake = Brake(window=settings.brake_window, share_max=settings.brake_share_max)
        self._partitions: dict[int, Progress] = {}
        self._line = Line()
        self._erased = erased
        self.dropped: Counter[str] = Counter()
        """Erased profile → how many of its payloads were filtered here, until its deletion is settled."""

    def assign(self, partition: int, next_offset: int, note: str = "") -> None:
        """The partition is ours from this offset on; what an earlier assignment left is dropped.

        Args:
            note: Its last owner's.
        """
        self.revoke(partition)
        self._partitions[partition] = Progress(partition, next_offset, read_note(note))

    def revoke(self, partition: int) -> None:
        """Drop its payloads: their offsets are not committed, so the next owner reads them again."""
        progress = self._partitions.pop(partition, None)
        if progress is None:
            return
        progress.revoked = True
        self._line.drop_revoked()

    def assignment(self, partition: int) -> Progress | None:
        """Another object after every assignment, so that who has waited sees whether it is still the same one."""
        return self._partitions.get(partition)

    def committable(self, partition: int) -> int | None:
        """The offset below which everything is settled; None for a partition that is not ours."""
        progress = self._partitions.get(partition)
        return None if progress is None else progress.committable

    def note(self, partition: int) -> str:
        """What is settled behind that offset, for its next owner."""
        progress = self._partitions.get(partition)
        return "" if progress is None else write_note(progress.runs())

    @property
    def parked(self) -> int:
        """Payloads that wait for a retry, or behind another of their profile."""
        return self._line.parked + sum(progress.behind for progress in self._partitions.values())

    @property
    def has_room(self) -> bool:
        """Whether it can take more; at its limits only its own topic is read no further."""
        settings = self._settings
        return (
            self._line.untried < settings.queue_items_max
            and self._line.backlog < settings.backlog_items_max
            and self.parked < settings.parked_items_max
        )

    @property
    def pending(self) -> int:
        """Records taken and not settled."""
        return sum(progress.unsettled for progress in self._partitions.values())

    @property
    def under_way(self) -> int:
        """Records taken that do not wait here: they are in a request, or on their way to the dead letters."""
        return self.pending - self._line.untried - self._line.backlog - self.parked

    @property
    def oldest_at(self) -> str:
        """The instant of the oldest payload that is not settled, ISO 8601; empty where nothing waits."""
        return min((at for progress in self._partitions.values() if (at := progress.oldest_at)), default="")

    def breaker(self, now_s: float) -> BreakerState:
        """Whether the vendor is taken for down."""
        return self._gate.breaker(now_s)

    @property
    def state(self) -> LaneState:
        return self._gate.state

    @property
    def reason(self) -> Reason | None:
        """Why it does not run."""
        return self._gate.reason

    def take(self, partition: int, records: Sequence[Record]) -> list[Dead]:
        """Records of one partition, in order. Those of a partition that is not ours, or taken before, are passed over.

        Returns:
            Those that are no payloads, to be buried.
        """
        progress = self._partitions.get(partition)
        dead: list[Dead] = []
        if progress is None:
            return dead
        for offset, key, value in records:
            if offset < progress.next_offset:
                continue
            progress.taken(offset)
            if progress.was_settled(offset):
                progress.settle(offset)
                continue
            try:
                payload = parse_payload(value)
                place = self._place(progress, payload)
            except InvalidPayload as error:
                dead.append(
                    Dead(
                        progress, offset, key, value, None, Reason.UNREADABLE, str(error), attempts=0, evidence=NOTHING
                    )
                )
                continue
            assert value is not None
            progress.stamp(payload.at)
            if self._is_void(payload):
                self._count_void(payload)
                progress.settle(offset)
                continue
            if isinstance(place, Reason):
                progress.settle(offset)
                self._observe(Settled("filtered", place, payload, attempts=0))
                continue
            self._line.add(Item(progress, offset, value, payload, place))
        return dead

    def hold(self, now_s: float, seconds: float) -> None:
        """The vendor wants nothing for so long, of whatever lane of the same account."""
        self._gate.hold(now_s + min(seconds, self._settings.retry.retry_after_s_max))

    def heard(self) -> None:
        """One of the requests of an exchange was answered."""
        self.answered += 1

    def ready(self, now_s: float) -> bool:
        """Whether `next_batch` would give one, so that no token of the rate is taken in vain."""
        if self.in_flight >= self._limits.batches_max or self._gate.permission(now_s) is Permission.SHUT:
            return False
        return self._line.ready(now_s)

    @property
    def urgent(self) -> bool:
        """Whether more waits than a backlog."""
        return self._line.urgent

    def wake_s(self) -> float | None:
        """When to ask `ready` again if nothing happens before; None: something has to happen."""
        opens_s = self._gate.wake_s()
        if opens_s is None or self.in_flight >= self._limits.batches_max:
            return None
        waits_s = self._line.wake_s
        return None if waits_s is None else max(opens_s, waits_s)

    def next_batch(self, now_s: float) -> Batch | None:
        """What to send now; its outcome goes to `settle`. None where there is nothing, or nothing may be sent."""
        if not self.ready(now_s):
            return None
        probe = self._gate.permission(now_s) is Permission.PROBE
        items = self._line.together(
            now_s,
            items_max=1 if probe else self._limits.batch_items_max,
            bytes_max=self._limits.body_bytes_max,
        )
        if not items:
            return None
        for item in items:
            if item.first_s is None:
                item.first_s = self._gate.active_s(now_s)
        if probe:
            self._gate.probe_sent()
        self.in_flight += 1
        return Batch(tuple(items), probe)

    def settle(
        self, batch: Batch, outcome: Outcome, *, evidence: Evidence, message: str, now_s: float, heard: bool = True
    ) -> list[Dead]:
        """What a batch came to.

        Args:
            message: The outcome in words, for the dead letters.
            heard: False where no request was made, so that nothing is known of the vendor.
        Returns:
            Payloads to be buried.
        """
        self.in_flight -= 1
        self.answered += 1
        if heard:
            self._tell_gate(batch, outcome, now_s)
        elif batch.probe:
            self._gate.probe_unsent()
        each = outcome.items if isinstance(outcome, Partial) else (outcome,) * len(batch.items)
        assert len(each) == len(batch.items), "a partial outcome names every item"
        found = (
            self._settle_one(item, one, len(batch.items), isinstance(outcome, Partial), evidence, message, now_s)
            for item, one in zip(batch.items, each, strict=True)
            if not item.progress.revoked
        )
        return [dead for dead in found if dead is not None]

    def pass_over(self, batch: Batch, reason: Reason) -> None:
        """A batch was not sent, because nothing can be made of it."""
        self.in_flight -= 1
        self.answered += 1
        if batch.probe:
            self._gate.probe_unsent()
        for item in batch.items:
            if not item.progress.revoked:
                self._observe(Settled("filtered", reason, item.payload, item.attempts))
                self._line.done(item)

    def drop_erased(self) -> None:
        """Filter what waits here of erased profiles, but for what their erasure tells."""
        for payload in self._line.drop(self._partitions.values(), self._is_void):
            self._count_void(payload)

    def _is_void(self, payload: Payload) -> bool:
        return payload.profile in self._erased and payload.origin != "erasure"

    def _count_void(self, payload: Payload) -> None:
        self.dropped[payload.profile] += 1
        self._observe(Settled("filtered", Reason.ERASED, payload, attempts=0))

    def _drop(self, item: Item) -> None:
        """One that its profile is held for."""
        self._count_void(item.payload)
        self._line.done(item)

    def buried(self, dead: Dead, now_s: float) -> None:
        """The broker has acked the dead letter."""
        self.answered += 1
        if dead.progress.revoked:
            return
        payload = dead.item.payload if dead.item is not None else None
        self._observe(Settled("dead", dead.reason, payload, dead.attempts))
        if dead.item is not None:
            self._line.done(dead.item)
        else:
            dead.progress.settle(dead.offset)
        if self._brake.settled(dead=True):
            self._stop(LaneState.BRAKED, Reason.TOO_MANY_DEAD, probe=False, now_s=now_s)

    def resume(self, now_s: float) -> None:
        """By hand, when the cause is mended: one probe, then everything; after the brake everything at once."""
        if self.state is LaneState.BRAKED:
            self._brake.release()
        before = self.state
        self._gate.resume(now_s)
        self._tell(before)

    def _tell_gate(self, batch: Batch, outcome: Outcome, now_s: float) -> None:
        before = self.state
        match outcome:
            case Pause(reason):
                self._stop(LaneState.PAUSED, reason, probe=batch.probe, now_s=now_s)
            case Disabled(reason):
                self._stop(LaneState.DISABLED, reason, probe=batch.probe, now_s=now_s)
            case Retry(reason, after_s, _):
                if after_s is not None and reason is not Reason.REFUSED:  # that is about the payload, not the vendor
                    self.hold(now_s, after_s)
                if batch.probe or reason is not Reason.THROTTLED:  # who has too much to do is not down
                    self._gate.answered(failed=True, probe=batch.probe, now_s=now_s)
                self._tell(before)
            case _:
                self._gate.answered(failed=False, probe=batch.probe, now_s=now_s)
                self._tell(before)

    def _settle_one(
        self, item: Item, outcome: Outcome, batched: int, partial: bool, evidence: Evidence, message: str, now_s: float
    ) -> Dead | None:
        if not isinstance(outcome, Delivered) and self._is_void(item.payload):
            self._drop(item)  # neither tried again nor kept as a dead letter
            return None
        match outcome:
            case Delivered():
                self._observe(Settled("delivered", None, item.payload, item.attempts + 1))
                self._brake.settled(dead=False)
                self._line.done(item)
            case Retry(reason, after_s, attempts_max):
                item.attempts += 1
                assert item.first_s is not None
                if attempts_max is not None and item.attempts >= attempts_max:
                    return _dead(item, reason, message, evidence)
                trying_s = self._gate.active_s(now_s) - item.first_s
                if gives_up(self._settings.retry, attempts=item.attempts, trying_s=trying_s):
                    return _dead(item, Reason.EXPIRED, f"given up; last: {message}", evidence)
                self._observe(Settled("retry", reason, item.payload, item.attempts))
                jitter = self._jitter()
                self._line.park(
                    item,
                    now_s + delay_s(self._settings.retry, attempts=item.attempts, after_s=after_s, jitter=jitter),
                )
            case Rejected(reason) if batched > 1 and not partial:
                # One bad item must not condemn the rest: halves for what is too large, else each alone.
                item.group_max = max(1, batched // 2) if reason is Reason.TOO_LARGE else 1
                self._line.park(item, now_s)
            case Rejected(reason):
                item.attempts += 1
                return _dead(item, reason, message, evidence)
            case Pause() | Disabled():
                self._line.park(item, now_s)
            case Partial():
                raise AssertionError("a partial outcome holds no partial outcome")
        return None

    def _place(self, progress: Progress, payload: Payload) -> Place | Reason:
        place = self._configured.place(payload)
        if self._configured.repeats or isinstance(place, Reason) or not progress.repeats(payload, place.key):
            return place
        return Reason.REPEATED

    def _stop(self, state: LaneState, reason: Reason, *, probe: bool, now_s: float) -> None:
        before = self.state
        self._gate.stop(state, reason, probe=probe, now_s=now_s)
        self._tell(before)

    def _tell(self, before: LaneState) -> None:
        if self.state is not before:
            self._observe(StateChanged(self.state, self.reason))


def _dead(item: Item, reason: Reason, message: str, evidence: Evidence) -> Dead:
    key = item.payload.profile.encode()
    return Dead(item.progress, item.offset, key, item.value, item, reason, message, item.attempts, evidence)
