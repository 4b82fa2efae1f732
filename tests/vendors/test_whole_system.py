"""Everything at once: events to changes to payloads to every vendor, each with limits and moods of its own.

Delivery is done by two workers that come and go. Every change must be delivered, or be a dead letter where its vendor
refuses the person; none lost, in the order of each person, and no vendor may see one of its limits passed. Vendors of
lists get a first update within seconds; then hours pass in the ledgers, and with the next one each list has to hold
exactly who is in its audience, but for those whom its vendor refuses.
`HEADWATER_CHANGES=100000` makes it long.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random, randrange
from typing import Any

import aiohttp
import orjson
import pytest

from app import configuration
from app.activation.lists.overview import ListView
from app.cli.orphans import PARENT_VARIABLE
from app.delivery.sender import DRAIN_S
from app.embedded.broker import EmbeddedBroker
from app.observability import run_file
from app.topics import Topics, delivery_group, partition_of
from tests.faults.deployment import Deployment, deployed
from tests.vendors import whole_lists
from tests.vendors.list_sites import SITES
from tests.vendors.server import Vendors
from tests.vendors.vendor import Taken, Vendor, is_bad, person_of, value_of

CHANGES = int(os.environ.get("HEADWATER_CHANGES", "3000"))
PARTITIONS = 4
WAIT_S = 120.0 + CHANGES / 50
POLL_S = 0.3
SHARES = {
    "amplitude": 300, "braze": 400, "customerio": 250, "http": 150, "hubspot": 250, "intercom": 60, "iterable": 200,
    "kinesis": 250, "klaviyo": 150, "mailchimp": 120, "marketo": 180, "pardot": 36, "resci": 150, "responsys": 120,
    "responsys_batch": 100, "salesforce": 150, "sendgrid": 150, "sfmc": 100, "slack": 10, "webhook": 200,
    "zendesk": 100,
}  # fmt: skip
"""How the changes are dealt out: by what each vendor bears, so that all are done at about the same time."""
TRACKED = {"amplitude", "braze", "customerio", "iterable", "kinesis", "klaviyo", "webhook"}
"""Those that are told by identify and track."""
SLOW = ("intercom", "mailchimp", "pardot")
KEYS = {name: f"n{index}" for index, name in enumerate(SHARES)}

Event = tuple[int, str, int]
"""Its number, the vendor that is told of it, and whose it is."""
Change = tuple[int, int]
"""Person and value: the value counts the person's events for one vendor, so each change has its own."""


def plan(total: int, seed: int) -> dict[str, list[int]]:
    """Vendor → whose events, in order."""
    lot = Random(seed)
    people = max(120, total // 20)
    found: dict[str, list[int]] = {}
    for name, share in SHARES.items():
        count = max(1, total * share // sum(SHARES.values()))
        found[name] = [lot.randrange(people) for _ in range(count)]
    return found


def document(topics: Topics, brokers: str, vendors: Vendors) -> dict[str, Any]:
    return {
        "kafka": {"brokers": brokers, "topic_prefix": topics.prefix, "partitions": PARTITIONS},
        "traits": [{"key": KEYS[name], "query": f"event('{name}').count()"} for name in SHARES],
        "destinations": [
            {
                "name": name,
                "type": name,
                "settings": vendors.settings(name),
                "connect": [{"trait": KEYS[name], "calls": ["identify", "track"] if name in TRACKED else ["identify"]}],
            }
            for name in SHARES
        ]
        + whole_lists.destinations(vendors),
        "audiences": whole_lists.definitions(),
        "delivery": {"allow_networks": ["127.0.0.1/32"], "list_first_wait_s": whole_lists.FIRST_WAIT_S},
    }


class Worker:
    """A delivery worker as a child process."""

    def __init__(self, deployment: Deployment, name: str) -> None:
        self._deployment = deployment
        self._name = name
        self.log = deployment.data_dir.parent / f"{name}.log"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app", "worker", "delivery", "--name", self._name),
                *("--config", str(self._deployment.config), "--data", str(self._deployment.data_dir)),
                *("--brokers", self._deployment.brokers),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
            )

    async def stop(self) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        assert await self.process.wait() == 0, self.end()

    async def ready(self) -> None:
        """Wait until the group has given it partitions."""
        status = 0
        async with asyncio.timeout(WAIT_S):
            while status != 200:
                assert self.process is None or self.process.returncode is None, self.end()
                await asyncio.sleep(POLL_S)
                status = (await self._get("/health/ready"))[0]

    async def metrics(self) -> str:
        return (await self._get("/metrics"))[1]

    async def _get(self, path: str) -> tuple[int, str]:
        found = run_file.read(self._deployment.data_dir, self._name)
        if found is None:
            return 0, ""
        async with aiohttp.ClientSession() as session, session.get(f"{found['health']}{path}") as reply:
            return reply.status, await reply.text()

    @property
    def command_line(self) -> str:
        """As `ps` shows it."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/cmdline").read_text()

    def end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


@asynccontextmanager
async def working(deployment: Deployment, *names: str) -> AsyncIterator[list[Worker]]:
    """Workers that are killed, if they still run, at the block's end; none of them has been started."""
    workers = [Worker(deployment, name) for name in names]
    try:
        yield workers
    finally:
        for worker in workers:
            if worker.process is not None and worker.process.returncode is None:
                worker.process.kill()
                await worker.process.wait()


def mixed(wanted: dict[str, list[int]], seed: int) -> tuple[list[Event], list[Event]]:
    """All events, those of the vendors mixed, in two parts: a fourth, and the rest."""
    found = [(name, person) for name, people in wanted.items() for person in people]
    Random(seed).shuffle(found)
    events = [(number, name, person) for number, (name, person) in enumerate(found)]
    return events[: len(events) // 4], events[len(events) // 4 :]


async def put(deployment: Deployment, events: list[Event]) -> None:
    outputs: dict[tuple[str, int], list[tuple[bytes | None, bytes | None, tuple[()]]]] = defaultdict(list)
    for number, name, person in events:
        key = f"u-{person}".encode()
        value = {
            "type": "track", "event": name, "messageId": f"m{number}", "userId": f"u-{person}",
            "context": {"traits": {"email": f"p{person}@example.com"}},
        }  # fmt: skip
        place = (deployment.topics.events_raw, partition_of(key, PARTITIONS))
        outputs[place].append((key, orjson.dumps(value), ()))
    await deployment.producer.send(outputs)


async def behind(deployment: Deployment) -> dict[str, int]:
    """Vendor → payloads that are not settled, where there are any; for one of lists, that its ledger does not know."""
    places = {(deployment.topics.destination(name), p): name for name in SHARES for p in range(PARTITIONS)}
    places |= {(deployment.topics.destination(name), 0): name for name in SITES}
    ends = await deployment.admin.end_offsets(list(places))
    done = await deployment.admin.committed(delivery_group(deployment.topics), list(places))
    left: Counter[str] = Counter()
    for place, name in places.items():
        left[name] += ends[place] - (done[place] or 0)
    return dict(+left)


async def until_taken(vendors: Vendors, wanted: dict[str, list[int]], share: float) -> None:
    """Wait until the slow vendors, which are busy all the time, have taken this share of their changes."""
    count, taken = share * sum(len(wanted[name]) for name in SLOW), 0
    async with asyncio.timeout(WAIT_S):
        while taken < count:
            taken = sum(len(vendors.all[name].taken) for name in SLOW)
            await asyncio.sleep(POLL_S)


async def until_settled(deployment: Deployment, workers: list[Worker]) -> None:
    left: dict[str, int] = {}
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                left = await behind(deployment)
                if not left:
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        told = "\n".join([*stopped(workers), *map(Worker.end, workers)])
        raise AssertionError(f"payloads are not settled: {left}\n{told}") from None


def stopped(workers: list[Worker]) -> list[str]:
    """Lines that tell of a lane that stopped: no vendor here has a reason to be given up to an operator."""
    lines = [line for worker in workers for line in worker.log.read_text(errors="replace").splitlines()]
    return [line for line in lines if "the lane is" in line]


async def payloads(deployment: Deployment, topic: str) -> dict[str, dict[str, Any]]:
    """By id: what a topic of payloads holds."""
    records = [record for partition in await deployment.read(topic) for record in partition]
    values = [orjson.loads(record.value or b"{}") for record in records]
    return {value["id"]: value for value in values}


def change_of(payload: dict[str, Any]) -> tuple[str, Change]:
    call = payload["payload"]
    fields = call["properties"] if call["type"] == "track" else call["traits"]
    return call["type"], (person_of(call["userId"]), value_of(fields))


def judge(
    vendor: Vendor, wanted: list[int], sent: dict[str, dict[str, Any]], dead: dict[str, dict[str, Any]]
) -> list[float]:
    """Holds a vendor's ledger to the plan; gives when it had taken changes that it then took again without need."""
    name = vendor.name
    kinds = {"identify", "track"} if name in TRACKED else {"identify"}
    counts = Counter(wanted)
    expected = {(kind, (person, n)) for kind in kinds for person, k in counts.items() for n in range(1, k + 1)}
    assert {change_of(payload) for payload in sent.values()} == expected, f"{name}: not what the events have caused"
    gone = {change_of(payload) for payload in dead.values()}
    taken: dict[tuple[str, Change], list[Taken]] = defaultdict(list)
    for one in vendor.taken:
        taken[one.kind, (one.person, one.value)].append(one)
    assert gone == {(kind, change) for kind, change in expected if is_bad(change[0])}, f"{name}: dead letters"
    assert taken.keys() == expected - gone, f"{name}: lost or made up"
    told: dict[tuple[str, int], list[int]] = defaultdict(list)
    for one in vendor.taken:
        told[one.kind, one.person].append(one.value)
    for who, values in told.items():
        firsts = list(dict.fromkeys(values))
        assert firsts == sorted(firsts), f"{name}: {who} in the order {firsts}"
    assert vendor.odd == [], name
    return [one.at_s for times in taken.values() for one in times[:-1] if one.told]


async def no_secrets(deployment: Deployment, workers: list[Worker], seen: str) -> None:
    """Nowhere but in the senders' memory, though vendors have echoed them; and no person in what operators see.

    Args:
        seen: What metrics and command lines have shown.
    """
    logs = "".join(path.read_text() for path in (deployment.log_path, *(worker.log for worker in workers)))
    places = deployment.topics
    of_events = [topic(name) for name in SHARES for topic in (places.destination, places.destination_dead)]
    of_lists = [topic(name) for name in SITES for topic in (places.destination, places.lists_changelog)]
    whole = dict.fromkeys([*of_events, places.changes, places.profiles_changelog], PARTITIONS) | dict.fromkeys(
        of_lists, 1
    )
    read = await asyncio.gather(*(deployment.read(topic, partitions) for topic, partitions in whole.items()))
    held = [
        part
        for topic in read
        for partition in topic
        for record in partition
        for part in (record.value, *(value for _, value in record.headers))
    ]
    topics = b"".join(part or b"" for part in held)
    loaded = configuration.open_configuration(deployment.config, {})
    for secret in {*configuration.secrets(loaded), "canary", "CANARY"}:
        assert secret not in logs
        assert secret not in seen
        assert secret.encode() not in topics
    for personal in ("@example.com", '"u-'):
        assert personal not in logs
        assert personal not in seen
    assert b"[secret]" in topics, "no vendor has echoed a secret, so nothing was tried"


def most_within(stamps: list[float], window_s: float) -> int:
    most, first = 0, 0
    for last, stamp in enumerate(stamps):
        while stamps[first] <= stamp - window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


async def updated_once_more(deployment: Deployment, vendors: Vendors, worker: Worker) -> dict[str, list[ListView]]:
    """Hours later: a worker updates all lists; gives what the ledgers say then."""
    await whole_lists.age(deployment)
    await worker.start()
    try:
        await worker.ready()
        return await whole_lists.until_updated(deployment, vendors, WAIT_S)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{worker.end()}") from None
    finally:
        await worker.stop()


@pytest.mark.timeout(300 + CHANGES // 10)
async def test_every_vendor_gets_every_change_within_its_limits(
    broker: EmbeddedBroker, topics: Topics, tmp_path: Path
) -> None:
    seed = int(os.environ.get("SEED", randrange(10**6)))
    print(f"seed {seed}")
    wanted = plan(CHANGES, seed)
    began_s = time.monotonic()
    async with Vendors(seed) as vendors:
        whole_lists.refuse_bad(vendors, wanted)
        async with deployed(broker.bootstrap, tmp_path, document(topics, broker.bootstrap, vendors)) as deployment:
            await deployment.start()
            async with working(deployment, "delivery-0", "delivery-1") as workers:
                first, second = workers
                await first.start()
                await deployment.ready()
                early, late = mixed(wanted, seed)
                await put(deployment, early)
                await until_taken(vendors, wanted, 0.1)
                await second.start()
                await second.ready()
                await put(deployment, late)
                await until_taken(vendors, wanted, 0.8)
                await first.stop()
                await deployment.at_rest(0.5, WAIT_S)
                await until_settled(deployment, workers)
                shown = await second.metrics() + second.command_line
                await second.stop()
                settled_s = time.monotonic()
                views = await updated_once_more(deployment, vendors, first)
                print(f"hours later all lists were up to date after {time.monotonic() - settled_s:.0f} s")
                assert stopped(workers) == []
                await no_secrets(deployment, workers, shown)
            sent = {name: await payloads(deployment, topics.destination(name)) for name in SHARES}
            dead = {name: await payloads(deployment, topics.destination_dead(name)) for name in SHARES}
            graves = [(topics.destination_dead(name), p) for name in SITES for p in range(PARTITIONS)]
            dead_of_lists = sum((await deployment.admin.end_offsets(graves)).values())
            await deployment.stop()
    for name, receiver in vendors.lists.items():
        print(whole_lists.told_of(receiver, views[name]))
    repeats = {name: judge(vendor, wanted[name], sent[name], dead[name]) for name, vendor in vendors.all.items()}
    for name, vendor in vendors.all.items():
        print(
            f"{name:15} {len(vendor.taken):6} taken {len(dead[name]):4} dead {len(repeats[name]):4} repeated"
            f" {len(vendor.stamps):6} requests, most in 1 s {most_within(vendor.stamps, 1.0):3} of {vendor.per_s:3},"
            f" at once {vendor.at_once_max:2} of {vendor.in_flight_max:2}, last one taken after"
            f" {vendor.taken[-1].at_s - began_s:.0f} s, {dict(vendor.told)}"
        )
    for name, vendor in vendors.all.items():
        # Who gives up partitions waits so long for answers; on a machine that is late, the next owner repeats some.
        needless = [at_s for at_s in repeats[name] if vendors.late_s(at_s, at_s + DRAIN_S) < DRAIN_S / 10]
        assert needless == [], f"{name}: sent again, though its answer had said that it was taken"
        assert vendor.passed_limits == [], name
        assert vendors.too_fast(vendor) == []
        assert vendor.at_once_max <= vendor.in_flight_max, name
    for name, receiver in vendors.lists.items():
        whole_lists.judge_lists(receiver, views[name], whole_lists.members(wanted))
        assert vendors.too_fast(receiver) == []
    assert dead_of_lists == 0, "a list refuses members, and no payloads"
    removed = sum(run.removed for name in SITES for view in views[name] for run in view.runs)
    assert removed > 0, "nobody has left, so nothing was tried"
    print(f"the simulator was kept from its clock {len(vendors.late)} times, at most {vendors.late_s(0, 1e18):.3f} s")
    assert sum(sum(vendor.told.values()) for vendor in vendors.all.values()) > 0, "nothing has failed"
