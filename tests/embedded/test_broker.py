import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from app.embedded.broker import EmbeddedBroker
from app.embedded.failure import BrokerError
from app.embedded.home import Ports
from app.kafka.admin import Admin, TopicSpec
from app.kafka.clients import KafkaSettings, answers
from app.kafka.consumer import BulkRead, BulkReader
from app.kafka.producer import Producer

pytestmark = pytest.mark.broker

Make = Callable[[Path], EmbeddedBroker]

PARENT = """
import asyncio, sys
from pathlib import Path
from app.embedded.broker import EmbeddedBroker

async def main():
    broker = EmbeddedBroker(Path(sys.argv[1]), heap_mb=256)
    await broker.start()
    print(broker.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes brokers that are stopped at the end of the test, whatever happens."""
    async with AsyncExitStack() as stack:

        def made(data_dir: Path) -> EmbeddedBroker:
            broker = EmbeddedBroker(data_dir, heap_mb=256)
            stack.push_async_callback(broker.stop)
            return broker

        yield made


async def values(broker: EmbeddedBroker) -> list[bytes | None]:
    reader = BulkReader(broker.bootstrap)
    return [record.value async for records in reader.read(BulkRead("t", 0, 0)) for record in records]


async def test_data_and_port_survive_a_stop_and_a_kill(make: Make, tmp_path: Path) -> None:
    broker = make(tmp_path)
    await broker.start()
    address = broker.bootstrap
    async with Admin(address) as admin, Producer(address) as producer:
        await admin.ensure_topics([TopicSpec("t", 1, 1)])
        await producer.append("t", 0, [(None, b"1")])
    await broker.stop()
    assert not broker.running
    assert not await answers(KafkaSettings.of(address), 1)

    await broker.start()
    assert broker.bootstrap == address
    async with Producer(address) as producer:
        await producer.append("t", 0, [(None, b"2")])
    os.kill(broker.pid, signal.SIGKILL)
    assert await broker.wait() == -signal.SIGKILL
    await broker.stop()

    again = make(tmp_path)
    await again.start()
    assert again.bootstrap == address
    assert await values(again) == [b"1", b"2"]


async def test_it_listens_on_loopback_only_and_on_another_port_if_its_own_is_taken(make: Make, tmp_path: Path) -> None:
    broker = make(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        broker.home.path.mkdir()
        broker.home.write_ports(Ports(client=taken, controller=taken))
        await broker.start()
    assert not broker.bootstrap.endswith(f":{taken}")
    listening = {each.laddr for each in psutil.Process(broker.pid).net_connections() if each.status == "LISTEN"}
    assert len(listening) == 2
    assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}


async def test_a_port_taken_at_the_last_moment_is_a_clash_that_is_mended(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = make(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        broker.home.path.mkdir()
        broker.home.write_ports(Ports(client=taken, controller=taken))
        # The port was free when we looked; Kafka finds it taken.
        monkeypatch.setattr("app.embedded.broker.is_free", lambda port: True)
        await broker.start()
    assert not broker.bootstrap.endswith(f":{taken}")


async def test_a_given_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        broker = EmbeddedBroker(tmp_path, port=port)
        with pytest.raises(BrokerError, match=f"port {port} of 127.0.0.1 is in use"):
            await broker.start()
    assert not broker.running


async def test_a_second_broker_in_the_same_directory_is_refused_with_the_first_ones_name(
    broker: EmbeddedBroker,
) -> None:
    second = EmbeddedBroker(broker.home.path.parent)
    with pytest.raises(BrokerError, match=f"another broker \\(process {broker.pid}\\) runs in"):
        await second.start()
    assert broker.running
    assert await answers(KafkaSettings.of(broker.bootstrap), 5)


async def test_a_damaged_directory_is_named_as_the_cause(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, heap_mb=256)
    broker.home.log_dir.mkdir(parents=True)
    (broker.home.log_dir / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=other\n")
    (broker.home.log_dir / "bootstrap.checkpoint").write_bytes(b"")
    with pytest.raises(BrokerError, match="damaged or another cluster's"):
        await broker.start()
    assert not broker.running
    # The home is free again.
    os.close(broker.home.lock())


async def test_a_heap_that_cannot_be_had_is_named_as_the_cause(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, heap_mb=1)
    with pytest.raises(BrokerError, match="not enough memory"):
        await broker.start()


async def test_a_killed_parent_takes_its_broker_with_it_and_the_next_one_starts(make: Make, tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    try:
        async with asyncio.timeout(90):
            orphan = psutil.Process(int(await parent.stdout.readline()))
    finally:
        parent.kill()
        await parent.wait()
    await asyncio.to_thread(orphan.wait, 10)
    await make(tmp_path).start()
