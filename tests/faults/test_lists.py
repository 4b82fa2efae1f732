"""A list destination on a real broker: a delivery worker, killed in mid-run, and a vendor with limits and refusals."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from app import configuration
from app.cli import topics_setup
from app.cli.orphans import PARENT_VARIABLE
from app.delivery.list_reading import read
from app.embedded.broker import EmbeddedBroker
from app.kafka.producer import Producer
from app.observability import failpoints
from app.settings import Security
from app.topics import Topics
from tests.delivery.list_rig import told
from tests.vendor import Arrival, Reply, Vendor

BATCH, RATE_PER_S = 50, 20
REFUSED = {"7@x.org", "333@x.org"}
DEADLINE_S = 60.0


class Lists:
    """The vendor's side."""

    def __init__(self) -> None:
        self.lists: dict[str, set[str]] = {}
        self.refused_before = 0

    def __call__(self, arrival: Arrival) -> Reply:
        body = arrival.json if arrival.body else {}
        if arrival.path == "/lists":
            self.lists["l1"] = set()
            return Reply(201, body=b'{"id": "l1"}')
        _, name, what = arrival.path.split("/")
        if what == "members":
            return Reply(body=json.dumps({"members": sorted(self.lists[name])}).encode())
        found = body["members"]
        assert isinstance(found, list)
        assert len(found) <= BATCH
        if len(arrival.headers.get("authorization", "")) < 7:
            return Reply(401)
        self.refused_before += 1
        if self.refused_before == 4:
            return Reply(429, {"Retry-After": "1"})
        members = set(found) - REFUSED
        self.lists[name] = self.lists[name] | members if what == "add" else self.lists[name] - members
        return Reply(body=json.dumps({"failed": sorted(REFUSED & set(found))}).encode())


class Worker:
    """A delivery worker as a child process."""

    def __init__(self, folder: Path, broker: EmbeddedBroker, topics: Topics, vendor: Vendor) -> None:
        self.folder = folder
        self.broker = broker
        base = f"http://127.0.0.1:{vendor.port}"
        settings = {
            "add_url": f"{base}/{{list}}/add", "remove_url": f"{base}/{{list}}/remove", "create_url": f"{base}/lists",
            "members_url": f"{base}/{{list}}/members", "errors_path": "failed", "token": "canary-token", "batch": BATCH,
        }  # fmt: skip
        document: dict[str, Any] = {
            "kafka": {"brokers": broker.bootstrap, "topic_prefix": topics.prefix, "partitions": 2},
            "audiences": [{"key": "vip", "query": "event('Order Completed').count() >= 1"}],
            "delivery": {"allow_networks": ["127.0.0.1/32"], "list_first_wait_s": 1},
            "destinations": [
                {
                    "name": "ads",
                    "type": "http_lists",
                    "rate_per_s": RATE_PER_S,
                    "settings": settings,
                    "connect": [{"audience": "vip", "interval": "2 seconds"}],
                },
            ],
        }
        self.config = folder / "headwater.yaml"
        self.config.write_text(yaml.safe_dump(document))
        self.log = folder / "worker.log"

    @asynccontextmanager
    async def running(self, failpoint: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app", "worker", "delivery", "--name", "delivery-0"),
                *("--config", str(self.config), "--data", str(self.folder / "data")),
                *("--brokers", self.broker.bootstrap),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, failpoints.VARIABLE: failpoint, PARENT_VARIABLE: str(os.getpid())},
            )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def command(self, *arguments: str) -> tuple[int, Any]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "lists", *arguments, "--json"),
            *("--config", str(self.config), "--data", str(self.folder / "data")),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert out, err.decode()
        return process.returncode or 0, json.loads(out)

    def log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])


async def until(worker: Worker, vendor: Vendor, lists: Lists, wanted: set[str]) -> None:
    try:
        await vendor.until(lambda: lists.lists.get("l1") == wanted, timeout_s=DEADLINE_S)
    except TimeoutError:
        there = lists.lists.get("l1", set())
        message = f"missing {len(wanted - there)}, too many {len(there - wanted)}\n{worker.log_end()}"
        raise AssertionError(message) from None


async def test_a_list_is_as_wanted_though_its_worker_was_killed_in_mid_run(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    lists = Lists()
    async with Vendor(lists) as vendor, Producer(broker.bootstrap) as producer:
        worker = Worker(tmp_path, broker, topics, vendor)
        settings = configuration.open_configuration(worker.config, {}).settings
        await topics_setup.ensure(settings, broker.bootstrap)
        topic = topics.destination("ads")

        async def say(*records: Any) -> None:
            await producer.send({(topic, 0): [(each.key, each.value, ()) for each in records]})

        everybody = {f"{n}@x.org" for n in range(400)}
        await say(*(told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(400)))
        async with worker.running("after_delivery_response:4") as process:
            async with asyncio.timeout(DEADLINE_S):
                assert await process.wait() < 0, worker.log_end()
        assert 0 < len(lists.lists["l1"]) < 398, "in the middle of it"
        async with worker.running():
            await until(worker, vendor, lists, everybody - REFUSED)
            left = [told(1_000 + n, f"p{n}", inside=False, email=f"{n}@x.org") for n in range(0, 400, 2)]
            came = [told(2_000 + n, f"q{n}", inside=True, email=f"new{n}@x.org") for n in range(30)]
            await say(*left, *came)
            wanted = {f"{n}@x.org" for n in range(1, 400, 2)} - REFUSED | {f"new{n}@x.org" for n in range(30)}
            await until(worker, vendor, lists, wanted)
            await put_down(broker, topics, len(wanted))
            code, status = await worker.command("status")
            (shown,) = status["lists"]
            assert code == 0
            assert (shown["held"], shown["to_add"], shown["to_remove"], shown["in_doubt"]) == (len(wanted), 0, 0, 0)
            assert {one["member"] for one in shown["refused"]} == REFUSED
            assert shown["vendor_id"] == "l1"
            assert sum(run["added"] for run in shown["runs"]) >= len(everybody) - len(REFUSED) + 30
            lists.lists["l1"].discard("new3@x.org")
            lists.lists["l1"].add("by hand")
            code, drift = await worker.command("check")
            (compared,) = drift["lists"]
            assert code == 1
            assert (compared["missing"], compared["others"], compared["sample"]) == (1, 1, ["new3@x.org"])
            lists.lists["l1"].add("0@x.org")  # who had left
            code, drift = await worker.command("check", "--repair")
            (compared,) = drift["lists"]
            assert (code, compared["back_sample"], compared["others"]) == (0, ["0@x.org"], 1)
            await until(worker, vendor, lists, wanted | {"by hand"})
            await put_down(broker, topics, len(wanted))
            code, drift = await worker.command("check")
            (compared,) = drift["lists"]
            assert (code, compared["missing"], compared["back"], compared["others"]) == (0, 0, 0, 1)
    stamps = [arrival.at_s for arrival in vendor.arrivals if not arrival.path.endswith("/members")]
    busiest = max(sum(at <= other < at + 1 for other in stamps) for at in stamps)
    assert busiest <= RATE_PER_S
    assert lists.lists["l1"] >= {"by hand"}, "only what was added from here is taken off"


async def put_down(broker: EmbeddedBroker, topics: Topics, held: int) -> None:
    """Wait until the ledger has what the vendor has."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            (view,) = (await read(broker.bootstrap, Security(), topics, "ads")).views()
            if view.held == held and not (view.in_doubt or view.to_add or view.to_remove):
                return
            await asyncio.sleep(0.2)
