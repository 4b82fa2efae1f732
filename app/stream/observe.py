"""What the stream tells Prometheus: facts of whole batches, counted once per batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.clock import Clock
from app.observability import catalogue
from app.observability.metrics import Metrics
from app.stages.records import Work


class StreamMetrics:
    """The stream's metrics, with labels bound ahead."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self.progress = 0
        """Rises with every batch that is committed to everything; for the watchdog."""
        self._committed_s: dict[tuple[str, int], float] = {}
        self.lag_total = 0
        """Records that wait, as last known."""

    def step(self, topic: str) -> Callable[[str, float], None]:
        """Told of each step of the commit protocol and its seconds."""
        seconds = self._metrics[catalogue.STAGE_SECONDS]
        bound = {name: seconds.labels(topic, name) for name in ("outputs", "changelog", "store")}
        return lambda name, elapsed_s: bound[name].observe(elapsed_s)

    def computed(self, topic: str) -> Callable[[float], None]:
        """Told of the seconds that computing a batch took."""
        return self._metrics[catalogue.STAGE_SECONDS].labels(topic, "compute").observe

    def batch(self, topic: str, partition: int) -> Callable[[Work, float], None]:
        """Told of each batch that is committed to everything."""
        metrics = self._metrics
        events = metrics[catalogue.EVENTS].labels(topic)
        sizes = metrics[catalogue.BATCH_RECORDS].labels(topic)
        replayed = metrics[catalogue.EVENTS_SKIPPED].labels("replay")
        repeated = metrics[catalogue.EVENTS_SKIPPED].labels("duplicate")
        produced = metrics[catalogue.PRODUCED]
        timers = metrics[catalogue.TIMERS_FIRED]
        refreshed = metrics[catalogue.REFRESHED]
        resynced = metrics[catalogue.RESYNCED]
        linked = metrics[catalogue.LINKED]
        merged = metrics[catalogue.MERGED]
        recounted = metrics[catalogue.RECOUNTED]
        aside = metrics[catalogue.SET_ASIDE]
        late = metrics[catalogue.TIMER_LATE]
        suppressed = metrics[catalogue.SUPPRESSED].labels(topic)
        erased = metrics[catalogue.ERASED]
        after_erasure = metrics[catalogue.ERASED_LATE]

        def observe(work: Work, elapsed_s: float) -> None:
            facts = work.facts
            self.progress += 1
            self._committed_s[topic, partition] = self._clock.monotonic_s()
            events.inc(facts.records)
            sizes.observe(facts.records)
            replayed.inc(facts.skipped)
            repeated.inc(facts.repeats)
            timers.inc(facts.timers)
            refreshed.inc(facts.refreshed)
            resynced.inc(facts.resynced)
            for reason, count in facts.invalid.items():
                metrics[catalogue.EVENTS_INVALID].labels(reason).inc(count)
            for kind, count in facts.changes.items():
                metrics[catalogue.CHANGES].labels(kind).inc(count)
            linked.inc(facts.linked)
            merged.inc(facts.merges)
            recounted.inc(facts.recounts)
            aside.inc(facts.aside)
            suppressed.inc(facts.suppressed)
            erased.inc(facts.erased)
            after_erasure.inc(facts.late)
            for (name, _), records in (*work.outputs.items(), *work.later.items()):
                produced.labels(name).inc(len(records))
            now_ms = self._clock.now_ms()
            for due_ms in facts.due_ms:
                late.observe(max(0, now_ms - due_ms) / 1_000)

        return observe

    def restoring(self, topic: str) -> Callable[[int, int, int], None]:
        """Told how far the restores of a topic's state are: partition, changelog offsets done, in all."""
        remaining = self._metrics[catalogue.RESTORE_REMAINING]
        return lambda partition, done, total: remaining.labels(topic, str(partition)).set(total - done)

    def restored(self, topic: str, partition: int, records: int, seconds: float) -> None:
        """Told of a restore that is done."""
        place = topic, str(partition)
        self._metrics[catalogue.RESTORED].labels(*place).inc(records)
        self._metrics[catalogue.RESTORE_SECONDS].labels(*place).set(seconds)
        self._metrics[catalogue.RESTORE_REMAINING].labels(*place).set(0)

    def lags(self, lags: Mapping[tuple[str, int], int]) -> None:
        """Told what each partition lags."""
        gauge, ages = self._metrics[catalogue.LAG], self._metrics[catalogue.COMMIT_AGE]
        now_s = self._clock.monotonic_s()
        for (topic, partition), lag in lags.items():
            gauge.labels(topic, str(partition)).set(lag)
            # Without lag there is nothing to commit: the clock starts when there is.
            since_s = self._committed_s.setdefault((topic, partition), now_s) if lag else now_s
            if not lag:
                self._committed_s.pop((topic, partition), None)
            ages.labels(topic, str(partition)).set(now_s - since_s)
        self.lag_total = sum(lags.values())

    def partitions(self, *, restoring: int, serving: int, failed: int) -> None:
        """Told how many partitions of each state this worker has."""
        gauge = self._metrics[catalogue.PARTITIONS]
        for state, count in (("restoring", restoring), ("serving", serving), ("failed", failed)):
            gauge.labels(state).set(count)

    def accounts_behind(self, partition: int, seconds: float) -> None:
        """Told how far the accounts of a partition are behind the present."""
        self._metrics[catalogue.ACCOUNTS_BEHIND].labels(str(partition)).set(seconds)

    def resyncs_stuck(self, topic: str) -> Callable[[int], None]:
        """Told how many resyncs of a topic's partitions stand still."""
        return self._metrics[catalogue.RESYNCS_STUCK].labels(topic).set

    def stored(self, topic: str, partition: int, size_bytes: int) -> None:
        """Told how large the store of a partition's users or accounts is on disk."""
        self._metrics[catalogue.STATE_BYTES].labels(topic, str(partition)).set(size_bytes)

    def quarantined(self, topic: str) -> Callable[[int], None]:
        """Told of each damaged store of a topic's state that was put aside."""
        counted = self._metrics[catalogue.STORES_QUARANTINED]
        return lambda partition: counted.labels(topic, str(partition)).inc()

    def stalled(self, seconds: float) -> None:
        """Told what the watchdog sees."""
        self._metrics[catalogue.STALLED].set(seconds)
