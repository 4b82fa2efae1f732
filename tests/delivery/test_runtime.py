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


async def test_a_list_destination_has_a_lane_of_its_own_and_the_whole_rate_with_its_one_partition(
    tmp_path: Path,
) -> None:
    config = tmp_path / "headwater.yaml"
    urls = {"add_url": "https://v.example/{list}/add", "remove_url": "https://v.example/{list}/remove"}
    ads = {"name": "ads", "type": "http_lists", "settings": urls, "connect": [{"audience": "vip"}]}
    audience = {"key": "vip", "query": "event('Order').count() >= 1"}
    kafka = {"brokers": "127.0.0.1:1", "partitions": 4}
    config.write_text(yaml.safe_dump({"kafka": kafka, "audiences": [audience], "destinations": [ads]}))
    settings = configuration.open_configuration(config, {}).settings
    made = Runtime(settings, WorkerOptions(tmp_path, "127.0.0.1:1", "delivery", config))
    try:
        assert list(made.lists) == ["destinations.ads"]
        assert made.senders == {}
        made.feeds.assigned([TP("destinations.ads", 0)], 1)
        account = made.accounts["ads"]
        await account.turn(lambda: False)  # a share grows after a moment
        assert account.pace.pace_per_s == 10
        assert not made.lists["destinations.ads"].serves
        made.watches[0].beat()
        made.feeds.assigned([], 2)
        assert account.pace.pace_per_s == 0
    finally:
        made.feeds.close()
        await made.transport.close()
        await asyncio.sleep(0)


async def test_lanes_and_lists_give_up_when_their_destination_says(tmp_path: Path) -> None:
    config = tmp_path / "headwater.yaml"
    hook = {"url": "https://c.example/", "secret": SECRET}
    urls = {"add_url": "https://v.example/{list}/add", "remove_url": "https://v.example/{list}/remove"}
    destinations = [
        {"name": "crm", "type": "webhook", "settings": hook, "give_up_after_s": 900},
        {"name": "ads", "type": "http_lists", "settings": urls, "give_up_after_s": 1_200},
    ]
    config.write_text(yaml.safe_dump({"kafka": {"brokers": "127.0.0.1:1"}, "destinations": destinations}))
    settings = configuration.open_configuration(config, {}).settings
    made = Runtime(settings, WorkerOptions(tmp_path, "127.0.0.1:1", "delivery", config))
    assert made.lanes["crm"]._settings.retry.give_up_after_s == 900
    assert made.lists["destinations.ads"]._means.settings.retry.give_up_after_s == 1_200
    await made.transport.close()
