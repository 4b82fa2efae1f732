"""Every metric, declared once: its name, its labels, what it means, and what to do when it looks wrong.

Base units, `headwater_` before every name. Labels are bounded by the configuration or by a closed list; none holds a
profile, an event's name or free text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram

Kind = TypeVar("Kind", Counter, Gauge, Histogram)


@dataclass(frozen=True, slots=True, eq=False)
class Entry(Generic[Kind]):
    """One metric of the catalogue."""

    kind: type[Kind]
    name: str
    labels: tuple[str, ...]
    meaning: str
    remedy: str
    """What to do, by what it shows."""
    buckets: tuple[float, ...] = ()
    """Upper bounds, of a histogram."""


_SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LONG_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_RECORDS = (1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_000, 5_000)

CATALOGUE: list[Entry[Counter] | Entry[Gauge] | Entry[Histogram]] = []
"""All of them, in the order of the flow."""


def _counter(name: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Entry[Counter]:
    entry = Entry(Counter, f"headwater_{name}", labels, meaning, remedy)
    CATALOGUE.append(entry)
    return entry


def _gauge(name: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Entry[Gauge]:
    entry = Entry(Gauge, f"headwater_{name}", labels, meaning, remedy)
    CATALOGUE.append(entry)
    return entry


def _histogram(
    name: str, labels: tuple[str, ...], meaning: str, remedy: str, buckets: tuple[float, ...]
) -> Entry[Histogram]:
    entry = Entry(Histogram, f"headwater_{name}", labels, meaning, remedy, buckets)
    CATALOGUE.append(entry)
    return entry


BUILD_INFO = _gauge(
    "build_info",
    ("version", "python", "role"),
    "Always 1; its labels say what runs.",
    "Two versions for longer than a deploy takes: finish the deploy.",
)

# Ingest: the tracking API.
HTTP_REQUESTS = _counter(
    "http_requests_total",
    ("route", "status"),
    "Requests answered by the API, by route and HTTP status.",
    "5xx growing: read the API's log; 503 means that Kafka does not acknowledge. 401 growing: a wrong key in an SDK.",
)
HTTP_SECONDS = _histogram(
    "http_request_seconds",
    ("route",),
    "Time from a request's first byte to its answer; for tracking calls that includes Kafka's acknowledgement.",
    "Growing: look at the broker's produce latency first, then at this process's CPU.",
    _SHORT_S,
)
INGESTED = _counter(
    "ingested_events_total",
    ("source",),
    "Events that Kafka has acknowledged for a source's write key.",
    "Flat while clients send: look at headwater_http_requests_total for refusals.",
)
INGEST_REFUSED = _counter(
    "ingest_refused_events_total",
    ("reason",),
    "Events that the tracking API turned away before Kafka.",
    "Growing: the reason says what a client does wrong; too_large and too_deep are its payloads.",
)

# The stream.
EVENTS = _counter(
    "events_total",
    ("topic",),
    "Records taken from a topic and applied or refused.",
    "Flat while lag grows: a stuck worker; see headwater_stalled_seconds and the log.",
)
EVENTS_INVALID = _counter(
    "events_invalid_total",
    ("reason",),
    "Records that were no valid event; each is in events.dead with its reason.",
    "Growing: read events.dead, and mend the producer that the records come from.",
)
EVENTS_SKIPPED = _counter(
    "events_skipped_total",
    ("reason",),
    "Records not applied because they had been: replayed after a crash (replay), or sent twice (duplicate).",
    "replay right after a restart is normal. duplicate growing: a producer retries too eagerly.",
)
BATCH_RECORDS = _histogram(
    "batch_records",
    ("topic",),
    "Records in one batch of one partition.",
    "Always at the limit: the worker is saturated; add a worker, up to the partition count.",
    _RECORDS,
)
STAGE_SECONDS = _histogram(
    "stage_seconds",
    ("topic", "stage"),
    "Time of one batch in one step of the commit protocol: take, compute, outputs, changelog, store.",
    "outputs or changelog slow: the broker. store slow: the disk. compute slow: CPU, or a costly definition.",
    _SHORT_S,
)
PRODUCED = _counter(
    "records_produced_total",
    ("topic",),
    "Records that Kafka has acknowledged, by topic.",
    "A destination's topic growing faster than its deliveries: the lane is behind; see its oldest pending age.",
)
LAG = _gauge(
    "lag_records",
    ("topic", "partition"),
    "Records in a partition that this worker has not committed yet.",
    "Growing: add a worker, up to the partition count. Growing in one partition only: a hot profile.",
)
COMMIT_AGE = _gauge(
    "committed_age_seconds",
    ("topic", "partition"),
    "Time since a partition's offset was last committed, while it has lag; 0 without lag.",
    "Near health.stalled_after_s: the watchdog will end the worker; its log then has every stack.",
)
PARTITIONS = _gauge(
    "partitions",
    ("state",),
    "Partitions of this worker, by state: restoring, serving, failed.",
    "failed above 0: the log names the partition, the reason and what to do.",
)
STATE_ERRORS = _counter(
    "state_errors_total",
    ("reason",),
    "Partitions stopped because their state and their log did not fit.",
    "Any: the log says which partition and how to mend it; nothing was lost or skipped.",
)
STALLED = _gauge(
    "stalled_seconds",
    (),
    "How long this process has had lag without a commit, as the watchdog sees it.",
    "Growing: a stuck broker or a bug; the process ends itself at health.stalled_after_s and is started again.",
)

# State.
LINKED = _counter(
    "events_linked_total",
    (),
    "Events that went to the linker: an identifier, or what identifiers have to do with each other, was new to them.",
    "A large share of all events: identifiers change with each event; see identity.blocked and identity.limits.",
)
MERGED = _counter(
    "profiles_merged_total",
    (),
    "Profiles that have become part of another.",
    "A sudden rise: a value that many share is taken for an identifier; block it (identity.blocked).",
)
RECOUNTED = _counter(
    "profiles_recounted_total",
    (),
    "Merges that waited for the log to be read, because both profiles had counted a message of the same id.",
    "A large share of headwater_profiles_merged_total: a client gives several messages one messageId; mend it there.",
)
SET_ASIDE = _counter(
    "identifiers_set_aside_total",
    (),
    "Messages of which an identifier was left aside, because a limit of identity stood in the way.",
    "Rising: several people share a device or an address, or a limit is too low (identity.limits).",
)
SUPPRESSED = _counter(
    "messages_suppressed_total",
    ("topic",),
    "Messages that were dropped where they came in, because one of their identifiers is suppressed.",
    "Rising for long: a source goes on sending people who asked not to be known; stop it there.",
)
ERASED = _counter(
    "profiles_erased_total",
    (),
    "Profiles that were erased.",
    "Without a request of yours: `headwater regulation list` says what was asked for and when.",
)
ERASED_LATE = _counter(
    "records_after_erasure_total",
    (),
    "Records that came for a profile after it had been erased, and were dropped.",
    "A few behind an erasure are normal. For hours: a partition of events.raw has not caught up with identity.",
)
RESTORED = _counter(
    "restored_records_total",
    ("topic", "partition"),
    "Records read back from a changelog into a store.",
    "Growing at every restart: the data directory does not survive; give the worker a lasting volume.",
)
RESTORE_SECONDS = _gauge(
    "restore_seconds",
    ("topic", "partition"),
    "How long the last restore of a partition took.",
    "Long: a faster disk, more partitions, or a data directory that survives.",
)
RESTORE_REMAINING = _gauge(
    "restore_remaining_records",
    ("topic", "partition"),
    "Changelog records still to be read before a partition serves.",
    "Not falling: the broker does not answer the bulk reader; see the log.",
)
STORES_QUARANTINED = _counter(
    "stores_quarantined_total",
    ("topic", "partition"),
    "Stores that were damaged, put aside and rebuilt from the changelog.",
    "Any: check the disk; the damaged directory is kept beside the new one.",
)
FOREIGN_WRITES = _counter(
    "changelog_foreign_records_total",
    ("topic", "partition"),
    "Records that somebody else wrote to a changelog partition which this worker owns alone.",
    "Any: a worker that had lost its session was still writing, or another deployment uses the same topics.",
)
STATE_BYTES = _gauge(
    "state_bytes",
    ("topic", "partition"),
    "Size on disk of the store of a partition of profiles.in or accounts.in.",
    "Growing without more profiles: wide windows over frequent events; see which definition was added.",
)

# Compute.
CHANGES = _counter(
    "changes_total",
    ("kind",),
    "Changes computed: entered, exited, computed.",
    "A sudden rise of exited: events have stopped arriving, or a definition was edited.",
)
REFRESHED = _counter(
    "profiles_refreshed_total",
    (),
    "Profiles evaluated anew, without an event of theirs, because definitions had changed.",
    "Grows after an edit until all are done. Growing all the time: two configurations are applied in turn.",
)
RESYNCED = _counter(
    "profiles_resynced_total",
    (),
    "Profiles whose present values were looked up for connections that are new.",
    "Grows after a connection was added until all profiles are done. Stands still: the destination takes no more just "
    "now, or has no senders yet. The payloads go behind live ones.",
)
RESYNCS_STUCK = _gauge(
    "resyncs_stuck",
    ("topic",),
    "Resyncs of a partition here that stand still, for the record that asks for their next part came to nothing.",
    "Above 0: read the record's dead letter in events.dead. The worker that serves the partition next tries anew.",
)
TIMERS_FIRED = _counter(
    "timers_fired_total",
    (),
    "Timer records that were applied: answers that time alone may have changed.",
    "Flat while audiences have windows: the timer loop is stuck; see headwater_lag_records.",
)
TIMER_LATE = _histogram(
    "timer_late_seconds",
    (),
    "From a timer's due time to the time at which its record was applied.",
    "Above 1 s with no lag: too little CPU. High right after an outage is normal: timers wait for the backlog.",
    _LONG_S,
)
ACCOUNTS_BEHIND = _gauge(
    "accounts_behind_seconds",
    ("partition",),
    "How far accounts are behind the present: what users say to them waits until all users have come to its instant.",
    "Above 2: a partition of profiles.in lags or is served by nobody; see headwater_lag_records of every worker.",
)

# Delivery.
DELIVERIES = _counter(
    "deliveries_total",
    ("destination", "outcome"),
    "Payloads settled or tried, by outcome: delivered, retry, rejected, paused, filtered.",
    "retry growing: the vendor is slow or refuses; rejected growing: read the dead letters; paused: new credentials.",
)
LIST_RUNS = _counter(
    "list_runs_total",
    ("destination", "status"),
    "Updates of lists that came to an end: done, or failed.",
    "failed growing: `headwater lists status` has the reason; what could not be sent is sent by the next update.",
)
DELIVERY_SECONDS = _histogram(
    "delivery_seconds",
    ("destination",),
    "Time of one request to a destination.",
    "Growing: the vendor is slow; nothing to do here unless the oldest pending age grows too.",
    _LONG_S,
)
PARKED = _gauge(
    "parked_payloads",
    ("destination",),
    "Payloads of this sender that wait for another try, those held back behind them included.",
    "At delivery.parked_max the lane stops reading: mend the destination, or raise the limit.",
)
OLDEST_PENDING = _gauge(
    "oldest_pending_age_seconds",
    ("destination",),
    "Age of the oldest payload of this sender that is not settled.",
    "Growing, breaker closed: raise rate_per_s or add a sender. Breaker open: the vendor is down.",
)
BREAKER = _gauge(
    "breaker_state",
    ("destination",),
    "The lane's circuit breaker: 0 closed, 1 half-open, 2 open.",
    "2 for long: the vendor is down; payloads are kept until it answers a probe.",
)
STOPPED = _gauge(
    "delivery_stopped",
    ("destination",),
    "1 while nothing is delivered until somebody acts: paused, disabled or braked; else 0.",
    "1: the log says why. Paused: new credentials or another URL, then it goes on by itself, or start delivery anew. "
    "Disabled: the receiver is gone. Braked: read the dead letters.",
)
LIMITER_RATE = _gauge(
    "limiter_requests_per_second",
    ("destination",),
    "This sender's share of the rate of the vendor account that the destination uses.",
    "0: this sender holds none of the destination's partitions. The shares of all senders add up to the rate; to less "
    "while the vendor throttles: lower `rate_per_s`, or see who else uses the account.",
)
DEAD_LETTERS = _counter(
    "dead_letters_total",
    ("destination", "reason"),
    "Payloads given up on; each is in destinations.<name>.dead with request and response.",
    "Growing: read one; its reason and the vendor's answer say what to change, then retry them.",
)
END_TO_END = _histogram(
    "end_to_end_seconds",
    ("destination",),
    "From the moment an answer changed to the destination's acknowledgement of it.",
    "Growing: compare with headwater_delivery_seconds (vendor), oldest pending age (rate) and lag (stream).",
    _LONG_S,
)
