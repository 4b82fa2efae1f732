"""Stream workers as child processes on topics of their own: started, killed, measured, at rest, read out."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from app import configuration
from app.cli.apply import put_into_effect
from app.cli.orphans import PARENT_VARIABLE
from app.clock import SystemClock
from app.kafka.admin import Admin
from app.kafka.consumer import BulkRead, BulkReader, RawRecord
from app.kafka.producer import Producer
from app.observability import failpoints, run_file
from app.profiles.store import PROFILE, TIMER
from app.settings import Settings
from app.stream.collected import collected
from app.stream.store import PartitionStore, StoreBudget, StoreShare
from app.topics import Collection, Topics, stream_group

READY_S = 120.0
REST_S = 120.0
STOP_S = 60.0
POLL_S = 0.1
WORKER = "stream-0"
PROGRAM = "app"


class NeverHappened(AssertionError):
    """What was waited for did not come; with the end of the worker's log."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What one partition's store holds."""

    profiles: dict[bytes, bytes]
    timers: set[bytes]


class Deployment:
    """Topics, a configuration in effect, and a worker that may be started and killed as often as one likes.

    Args:
        document: The configuration file.
        worker: Its name; another one for each that runs at the same time.
        program: The module that is run as `headwater`.
    """

    def __init__(
        self, brokers: str, folder: Path, document: dict[str, Any], worker: str = WORKER, program: str = PROGRAM
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.document = document
        self.config = folder / "headwater.yaml"
        self.config.write_text(yaml.safe_dump(document, allow_unicode=True, width=1_000))
        self.settings: Settings = configuration.open_configuration(self.config, {}).settings
        self.catalog = configuration.catalog(self.settings)
        self.topics = Topics(self.settings.kafka.topic_prefix)
        self.partitions = self.settings.kafka.partitions
        self.brokers = brokers
        self.worker = worker
        self.program = program
        self.data_dir = folder / "data"
        self.log_path = folder / "worker.log"
        self.producer = Producer(brokers)
        self.admin = Admin(brokers)
        self.process: asyncio.subprocess.Process | None = None
        self.colleagues: list[Deployment] = []

    def colleague(self) -> Deployment:
        """One more worker for the same topics, with a data directory of its own; it has yet to be started."""
        name = f"stream-{len(self.colleagues) + 1}"
        made = Deployment(self.brokers, self.folder / name, self.document, name, self.program)
        self.colleagues.append(made)
        return made

    # the worker

    async def start(self, failpoint: str = "") -> None:
        """Start the worker; returns before it serves."""
        with self.log_path.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.program, "worker", "stream", "--name", self.worker),
                *("--config", str(self.config), "--data", str(self.data_dir), "--brokers", self.brokers),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, failpoints.VARIABLE: failpoint, PARENT_VARIABLE: str(os.getpid())},
            )

    async def ready(self) -> None:
        """Wait until the worker says that it serves every partition."""
        await self._until(lambda status, _: status == 200, "ready")

    async def unready(self, text: str) -> str:
        """Wait until readiness is refused with a text in the reason; gives the reason."""
        return await self._until(lambda status, reason: status == 503 and text in reason, f"unready for {text!r}")

    async def _until(self, wanted: Callable[[int, str], bool], what: str) -> str:
        assert self.process is not None
        last = (0, "nothing")
        try:
            async with asyncio.timeout(READY_S), aiohttp.ClientSession() as session:
                while self.process.returncode is None:
                    last = await _probe(session, self._health(self.process.pid)) or last
                    if wanted(*last):
                        return last[1]
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            pass
        raise NeverHappened(f"never {what}: last {last}, code {self.process.returncode}\n{self.log_end()}")

    def _health(self, pid: int) -> str | None:
        return (run_file.read(self.data_dir, self.worker, pid=pid) or {}).get("health")

    async def kill(self) -> None:
        """SIGKILL, now."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def died(self, within_s: float) -> int | None:
        """The worker's return code once it has ended by itself; None if it has not, in time."""
        assert self.process is not None
        try:
            async with asyncio.timeout(within_s):
                return await self.process.wait()
        except TimeoutError:
            return None

    async def stop(self) -> None:
        """SIGTERM; it must end with 0."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        code = await self.died(STOP_S)
        assert code == 0, f"the worker ended with {code}\n{self.log_end()}"

    def wipe(self) -> None:
        """Delete the worker's data directory."""
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def log_end(self) -> str:
        """The last lines that the worker logged."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-30:])

    # the broker

    @property
    def is_running(self) -> bool:
        """Whether the worker has been started and has not ended."""
        return self.process is not None and self.process.returncode is None

    async def lag(self) -> int:
        """Records that were appended and are not committed as done, all the topics of the way together."""
        names = (self.topics.events_raw, self.topics.profiles_in, self.topics.accounts_in)
        places = [(topic, p) for topic in names for p in self._each()]
        places.append((self.topics.identity_links, 0))
        ends = await self.admin.end_offsets(places)
        committed = await self.admin.committed(stream_group(self.topics), places)
        return sum(ends[place] - (committed[place] or 0) for place in places)

    async def appended(self) -> int:
        """Where `profiles.in` and `accounts.in` end, all partitions together: they also move when timers fire."""
        places = [(each.source, p) for each in collected(self.topics) for p in self._each()]
        return sum((await self.admin.end_offsets(places)).values())

    async def at_rest(self, quiet_s: float, within_s: float = REST_S) -> None:
        """Wait until nothing is left to do, and nothing has come for a while: windows may still be running out."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        since, end, lag = loop.time(), -1, -1
        while loop.time() < deadline:
            if not any(each.is_running for each in (self, *self.colleagues)):
                break
            lag, now_end = await self.lag(), await self.appended()
            if lag or now_end != end:
                since, end = loop.time(), now_end
            elif loop.time() - since >= quiet_s:
                return
            await asyncio.sleep(POLL_S)
        raise NeverHappened(f"not at rest after {within_s:.0f} s, lag {lag}\n{self.log_end()}")

    async def read(self, topic: str, partitions: int | None = None) -> list[list[RawRecord]]:
        """All that a topic holds, by partition; it has as many as the deployment, if it is not said how many."""
        reader = BulkReader(self.brokers)

        async def partition(number: int) -> list[RawRecord]:
            start = (await self.admin.beginning_offsets([(topic, number)]))[topic, number]
            return [record async for batch in reader.read(BulkRead(topic, number, start)) for record in batch]

        return list(await asyncio.gather(*map(partition, range(partitions or self.partitions))))

    # the stores of stopped workers

    def stored(self, collection: Collection = "users") -> list[Stored]:
        """What each partition's store of profiles holds."""
        held = [self.held(self.store_directory(partition, collection).name) for partition in self._each()]
        return [
            Stored(
                {key[len(PROFILE) :]: value for key, value in data.items() if key.startswith(PROFILE)},
                {key for key in data if key.startswith(TIMER)},
            )
            for data in held
        ]

    def store_directory(self, partition: int, collection: Collection = "users") -> Path:
        """Where the worker has a partition's store of profiles."""
        (of,) = (each for each in collected(self.topics) if each.collection == collection)
        return self.data_dir / self.worker / f"{of.stores}-{partition}"

    def held(self, name: str) -> dict[bytes, bytes]:
        """All of the store by this name: of several workers, theirs who has the most of its changelog."""
        places = [each.data_dir / each.worker / name for each in (self, *self.colleagues)]
        found = [_all_of(each) for each in places if each.exists()]
        assert found, f"none of {places} is there: the workers keep their stores elsewhere"
        return max(found, key=lambda each: each[0])[1]

    def _each(self) -> Iterator[int]:
        return iter(range(self.partitions))


@asynccontextmanager
async def deployed(
    brokers: str, folder: Path, document: dict[str, Any], program: str = PROGRAM
) -> AsyncIterator[Deployment]:
    """Topics made and definitions in effect; whatever runs at the end is killed."""
    deployment = Deployment(brokers, folder, document, program=program)
    await put_into_effect(deployment.settings, brokers)
    async with deployment.admin, deployment.producer:
        try:
            yield deployment
        finally:
            for each in (deployment, *deployment.colleagues):
                if each.process is not None:
                    await each.kill()


def _all_of(directory: Path) -> tuple[int, dict[bytes, bytes]]:
    """A store's changelog offset, and its entries."""
    store = PartitionStore(directory, 0, StoreShare(StoreBudget(8 << 20, 8 << 20)), SystemClock().now_ms)
    try:
        keys = list(store.keys(b""))
        values = store.get_many(keys)
        return store.log_offset(), {key: value for key, value in zip(keys, values, strict=True) if value is not None}
    finally:
        store.abandon()


async def _probe(session: aiohttp.ClientSession, address: str | None) -> tuple[int, str] | None:
    if address is None:
        return None
    try:
        async with session.get(f"{address}/health/ready", timeout=aiohttp.ClientTimeout(total=5.0)) as reply:
            return reply.status, await reply.text()
    except (aiohttp.ClientError, TimeoutError):
        return None
