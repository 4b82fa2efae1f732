"""The catalogue is whole, named as Prometheus wants, and bounded."""

import re

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from app.observability.catalogue import BUILD_INFO, CATALOGUE, EVENTS, LAG, STAGE_SECONDS, Entry
from app.observability.metrics import Metrics

BOUNDED_LABELS = {
    "destination",  # the configuration's
    "kind",
    "outcome",
    "partition",
    "python",
    "reason",
    "role",
    "route",
    "source",  # the configuration's
    "stage",
    "state",
    "status",
    "topic",  # the configuration's
    "version",
}
AnyEntry = Entry[Counter] | Entry[Gauge] | Entry[Histogram]


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_each_metric_is_named_and_explained(entry: AnyEntry) -> None:
    assert re.fullmatch(r"headwater_[a-z][a-z0-9_]*[a-z0-9]", entry.name)
    assert len(entry.meaning) > 20
    assert entry.meaning.endswith(".")
    assert len(entry.remedy) > 20
    assert entry.remedy.endswith(".")
    assert set(entry.labels) <= BOUNDED_LABELS
    assert (entry.kind is Counter) == entry.name.endswith("_total")
    assert (entry.kind is Histogram) == bool(entry.buckets)
    assert list(entry.buckets) == sorted(set(entry.buckets))
    assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent|count|sum|bucket)$", entry.name)


def test_no_name_is_declared_twice() -> None:
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)


def test_the_exposition_is_read_by_prometheus_own_parser() -> None:
    metrics = Metrics("stream-0")
    metrics[EVENTS].labels("events.raw").inc(3)
    metrics[LAG].labels("profiles.in", "2").set(7)
    metrics[STAGE_SECONDS].labels("profiles.in", "compute").observe(0.004)
    families = {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}
    samples = {sample.name: sample for family in families.values() for sample in family.samples}
    assert samples["headwater_events_total"].value == 3
    assert samples["headwater_lag_records"].labels == {"topic": "profiles.in", "partition": "2"}
    assert samples["headwater_stage_seconds_sum"].value == 0.004
    assert samples[BUILD_INFO.name].labels["role"] == "stream-0"
    assert "process_resident_memory_bytes" in samples
    assert not [name for name in samples if name.endswith("_created")]


def test_two_processes_in_one_do_not_share_a_registry() -> None:
    one, other = Metrics("a"), Metrics("b")
    one[EVENTS].labels("t").inc()
    assert one.value("headwater_events_total", topic="t") == 1
    assert other.value("headwater_events_total", topic="t") is None
