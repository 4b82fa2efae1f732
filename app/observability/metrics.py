"""The catalogue with prometheus-client behind it."""

from __future__ import annotations

import platform
from typing import cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from app import __version__
from app.observability.catalogue import BUILD_INFO, CATALOGUE, Entry, Kind

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One process's metrics, in a registry of its own: `metrics[LAG].labels(topic, partition).set(3)`.

    Bind what `labels` gives outside loops; it takes a lock and a dictionary look-up.
    """

    def __init__(self, role: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry(auto_describe=True)
        self._made: dict[str, Counter | Gauge | Histogram] = {
            entry.name: _make(entry, self._registry) for entry in CATALOGUE
        }
        # Memory, CPU and descriptors of this process, under the names that every dashboard knows.
        ProcessCollector(registry=self._registry)
        self[BUILD_INFO].labels(__version__, platform.python_version(), role).set(1)

    def __getitem__(self, entry: Entry[Kind]) -> Kind:
        return cast(Kind, self._made[entry.name])

    def value(self, name: str, **labels: str) -> float | None:
        """A sample's present value by its exposed name; for tests and the terminal view."""
        return self._registry.get_sample_value(name, labels)

    def exposition(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self._registry)


def _make(
    entry: Entry[Counter] | Entry[Gauge] | Entry[Histogram], registry: CollectorRegistry
) -> Counter | Gauge | Histogram:
    if entry.kind is Histogram:
        return Histogram(entry.name, entry.meaning, entry.labels, registry=registry, buckets=entry.buckets)
    if entry.kind is Gauge:
        return Gauge(entry.name, entry.meaning, entry.labels, registry=registry)
    return Counter(entry.name, entry.meaning, entry.labels, registry=registry)
