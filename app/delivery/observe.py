"""What delivery tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from app.activation.destination import Request
from app.activation.outcome import Failure, Response
from app.clock import Clock
from app.delivery.breaker import BreakerState
from app.delivery.exchange import Deliver
from app.delivery.gate import LaneState
from app.delivery.lane import Lane
from app.delivery.list_update import Counted
from app.delivery.work import Fact, Settled, StateChanged
from app.events.dates import instant
from app.observability import catalogue, logs
from app.observability.metrics import Metrics

log = logs.get("delivery")

_BREAKER = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class DeliveryMetrics:
    """Delivery's metrics, and the log lines of a lane's state."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock

    def facts(self, name: str) -> Callable[[Fact], None]:
        """Told what becomes of payloads, and of the lane."""
        metrics = self._metrics

        def observe(fact: Fact) -> None:
            match fact:
                case StateChanged(state, reason):
                    line = log.info if state is LaneState.RUNNING else log.error
                    line("the lane is " + state, destination=name, reason=str(reason or ""))
                case Settled(outcome, reason, payload, _):
                    known = "rejected" if outcome == "dead" else outcome
                    metrics[catalogue.DELIVERIES].labels(name, known).inc()
                    if outcome == "dead":
                        metrics[catalogue.DEAD_LETTERS].labels(name, str(reason)).inc()
                    if outcome == "delivered" and payload is not None:
                        age_s = (self._clock.now_ms() - (instant(payload.at) or 0)) / 1_000
                        metrics[catalogue.END_TO_END].labels(name).observe(max(0.0, age_s))

        return observe

    def lists(self, name: str) -> Callable[[Counted], None]:
        """Told what becomes of payloads, members and updates of lists."""
        metrics = self._metrics

        def observe(fact: Counted) -> None:
            if fact.outcome in ("done", "failed"):
                metrics[catalogue.LIST_RUNS].labels(name, fact.outcome).inc()
            else:
                metrics[catalogue.DELIVERIES].labels(name, fact.outcome).inc(fact.count)

        return observe

    def timed(self, name: str, deliver: Deliver) -> Deliver:
        """The same call, timed."""
        seconds = self._metrics[catalogue.DELIVERY_SECONDS].labels(name)

        async def call(request: Request, timeout_s: float) -> Response | Failure:
            started_s = self._clock.monotonic_s()
            try:
                return await deliver(request, timeout_s)
            finally:
                seconds.observe(self._clock.monotonic_s() - started_s)

        return call

    def rate(self, name: str, rate_per_s: float) -> None:
        """Told this worker's share."""
        self._metrics[catalogue.LIMITER_RATE].labels(name).set(rate_per_s)

    def stalled(self, seconds: float) -> None:
        """Told what the watchdogs see."""
        self._metrics[catalogue.STALLED].set(seconds)

    def lane(self, name: str, lane: Lane) -> None:
        """Looked at once a second."""
        metrics, clock = self._metrics, self._clock
        metrics[catalogue.PARKED].labels(name).set(lane.parked)
        metrics[catalogue.STOPPED].labels(name).set(lane.state is not LaneState.RUNNING)
        metrics[catalogue.BREAKER].labels(name).set(_BREAKER[lane.breaker(clock.monotonic_s())])
        oldest_ms = instant(lane.oldest_at)
        age_s = (clock.now_ms() - oldest_ms) / 1_000 if oldest_ms is not None else 0.0
        metrics[catalogue.OLDEST_PENDING].labels(name).set(max(0.0, age_s))
