"""The demo's running figures: what was sent, what is due by the truth, what has come in, how long it took."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from app.cli.demo.receiver import Received, Value
from app.cli.demo.sample import AUDIENCES, CALLS, TRAITS
from app.cli.demo.truth import Truth
from app.clock import Clock

_HISTORY_LENGTH = 60
_HISTORY_STEP_MS = 1_000
_LAST_CHANGES = 8
_RECENT_LATENCIES = 500


@dataclass(frozen=True, slots=True)
class LastChange:
    """A change as a person would tell it."""

    at_s: float
    """Since the demo's start."""
    who: str
    key: str
    value: object
    by_time: bool


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the instant a change became true, by the truth, to its delivery."""

    count: int
    p50_ms: int
    p99_ms: int
    max_ms: int


class Board:
    """Fed by the feeder, the receiver and the followers; read by the view and the summary."""

    def __init__(self, truth: Truth, *, clock: Clock) -> None:
        self.truth = truth
        self._clock = clock
        self._due_ms = sorted(
            flip.at_ms
            for told in truth.told.values()
            for key, flips in told.items()
            for flip in flips
            for _ in CALLS[key]
        )
        self._start_s: float | None = None
        self._sampled_ms = -_HISTORY_STEP_MS
        self._sent_before: deque[tuple[int, int]] = deque(maxlen=8)
        self.sent_count = 0
        """Records that the broker has confirmed."""
        self.in_time_count = 0
        """Of these, the ones that were confirmed before the truth could have become another."""
        self.dead_count = 0
        self.received = Received()
        self.values: dict[str, dict[str, object]] = {key: {} for key in (*AUDIENCES, *TRAITS)}
        """Definition's key → who → the value delivered last."""
        self.members_count: dict[str, int] = dict.fromkeys(AUDIENCES, 0)
        self.sizes: dict[str, deque[int]] = {key: deque(maxlen=_HISTORY_LENGTH) for key in AUDIENCES}
        """Audience → its size at each of the last seconds."""
        self.last_changes: deque[LastChange] = deque(maxlen=_LAST_CHANGES)
        self._latencies_ms: dict[bool, list[int]] = defaultdict(list)

    def start(self) -> int:
        """The plan's times count from now on; gives the wall clock's ms."""
        self._start_s = self._clock.monotonic_s()
        return self._clock.now_ms()

    @property
    def elapsed_ms(self) -> int:
        """Since the start; 0 before it."""
        return 0 if self._start_s is None else int((self._clock.monotonic_s() - self._start_s) * 1_000)

    @property
    def expected_count(self) -> int:
        """Deliveries that the whole demo must cause."""
        return len(self._due_ms)

    @property
    def changes_count(self) -> int:
        """Changes that the whole demo must cause; a change may be several deliveries."""
        return sum(flip.is_change for flip in self.truth.flips())

    @property
    def last_due_ms(self) -> int:
        """When the last change is due, since the start."""
        return self._due_ms[-1] if self._due_ms else 0

    @property
    def behind_count(self) -> int:
        """Deliveries that the truth has as due by now and that have not come in: the lag from end to end."""
        return max(0, bisect_right(self._due_ms, self.elapsed_ms) - self.received.delivered_count)

    @property
    def events_per_s(self) -> float:
        """Over the last few samples."""
        if len(self._sent_before) < 2:
            return 0.0
        (from_ms, before), (to_ms, after) = self._sent_before[0], self._sent_before[-1]
        return (after - before) * 1_000 / max(1, to_ms - from_ms)

    def latency(self, *, by_time: bool, recent: bool = False) -> Latency:
        """Of changes by messages, or of those by time alone."""
        found = self._latencies_ms[by_time]
        return latency_of(found[-_RECENT_LATENCIES:] if recent else found)

    def sample(self) -> None:
        """To be called a few times a second: the histories of rates and sizes move on."""
        now_ms = self.elapsed_ms
        self._sent_before.append((now_ms, self.sent_count))
        if now_ms // _HISTORY_STEP_MS != self._sampled_ms // _HISTORY_STEP_MS:
            self._sampled_ms = now_ms
            for key in AUDIENCES:
                self.sizes[key].append(self.members_count[key])

    def on_value(self, value: Value) -> None:
        """The receiver took one change, or one value that it was told before of the same person by another name."""
        flips = self.truth.told.get(value.who, {}).get(value.key, ())
        by_time = False
        if value.position < len(flips):
            flip = flips[value.position]
            by_time = flip.by_time
            self._latencies_ms[by_time].append(self.elapsed_ms - flip.at_ms)
        if value.key not in CALLS or value.call != CALLS[value.key][0]:
            return  # a change sent by two calls is one change here
        held = self.values[value.key]
        # One person is counted once: who used to be addressed otherwise is somebody else no longer.
        before = [held.pop(who) for who in (value.who, *self.truth.before.get(value.who, ())) if who in held]
        if value.key in self.members_count:
            self.members_count[value.key] += (value.value is True) - sum(each is True for each in before)
        held[value.who] = value.value
        if value.value in before:
            return
        self.last_changes.append(LastChange(self.elapsed_ms / 1_000, value.who, value.key, value.value, by_time))


def latency_of(found_ms: Sequence[int]) -> Latency:
    """The figures of some latencies; zeros of none."""
    if not found_ms:
        return Latency(0, 0, 0, 0)
    ordered = sorted(found_ms)
    at = len(ordered) - 1
    return Latency(len(ordered), ordered[at // 2], ordered[round(at * 0.99)], ordered[at])
