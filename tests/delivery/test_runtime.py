"""The delivery process as it is put together: what watches over it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import yaml

from app import configuration
from app.delivery.runtime import Runtime
from app.settings import WorkerOptions
from app.transport.batches import TP, Batch
from tests.delivery.records import SECRET
from tests.simulation.log import Record


def runtime(folder: Path, *names: str) -> Runtime:
    destinations = [
        {"name": name, "type": "webhook", "settings": {"url": f"https://{name}.example/", "secret": SECRET}}
        for name in names
    ]
    config = folder / "headwater.yaml"
    config.write_text(yaml.safe_dump({"kafka": {"brokers": "127.0.0.1:1"}, "destinations": destinations}))
    settings = configuration.open_configuration(config, {}).settings
    return Runtime(settings, WorkerOptions(folder, "127.0.0.1:1", "delivery", config))


async def test_each_destination_has_a_watch_that_sees_its_own_records(tmp_path: Path) -> None:
    made = runtime(tmp_path, "crm", "mail")
    tp = TP(made.topics.destination("crm"), 0)
    made.feeds.assigned([tp], 1)
    made.feeds.offer(Batch(tp, [Record(0, b"a", b"no payload", 0)]))
    try:
        assert len(made.watches) == 2
        assert (made.feeds.waiting(tp.topic), made.feeds.waiting(made.topics.destination("mail"))) == (1, 0)
        for watch in made.watches:
            watch.beat()
        assert [watch.lag for watch in made.watches] == [1, 0]
    finally:
        made.feeds.close()
        await asyncio.sleep(0)
