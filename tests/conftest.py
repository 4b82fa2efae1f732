"""What every test may use: a real broker, and topic names that nobody else has."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest

from app.embedded.broker import EmbeddedBroker
from app.topics import Topics


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for the broker is marked as needing one, so that `-m "not broker"` runs the rest."""
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker("broker")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """One real broker for the run, or for each of xdist's workers. Shared: do not stop it, name topics by `topics`.

    Its own event loop, run only to start and to stop it: each test has another one. It starts from the main thread,
    which lives as long as the run does.
    """
    # Compaction soon enough for a test to see it: the default looks every 15 s.
    properties = {"log.cleaner.backoff.ms": "200"}
    embedded = EmbeddedBroker(tmp_path_factory.mktemp("broker"), heap_mb=384, properties=properties)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(embedded.start())
        yield embedded
    finally:
        loop.run_until_complete(embedded.stop())
        loop.close()


@pytest.fixture
def topics() -> Topics:
    """Topic names with a prefix that no other test and no other run has."""
    return Topics(prefix=f"t{uuid.uuid4().hex[:12]}.")
