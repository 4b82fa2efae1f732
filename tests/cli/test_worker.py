"""A worker process, as a process manager meets it: ready when it says so, stopped by SIGTERM with 0."""

import signal
from pathlib import Path

import aiohttp

from app.cli.supervisor import ChildSpec, Supervisor
from app.cli.topics_setup import ensure
from app.embedded.broker import EmbeddedBroker
from app.settings import load
from app.topics import Topics


async def test_the_api_worker_serves_and_ends_with_0(broker: EmbeddedBroker, topics: Topics, tmp_path: Path) -> None:
    config = tmp_path / "headwater.yaml"
    config.write_text(
        f"kafka: {{brokers: '{broker.bootstrap}', topic_prefix: {topics.prefix}, partitions: 2}}\n"
        "sources: [{id: web, write_key: canary-key}]\n"
        "api: {port: 0}\n"
    )
    await ensure(load(config, {}).settings, broker.bootstrap)
    with (tmp_path / "log").open("wb") as log:
        supervisor = Supervisor(
            (ChildSpec("api", "api"),),
            config=config,
            data_dir=tmp_path / "data",
            brokers=broker.bootstrap,
            log=log.fileno(),
        )
        try:
            await supervisor.start()
            await supervisor.ready()
            address = supervisor.addresses("api")["api"]
            async with aiohttp.ClientSession() as session:
                body = {"writeKey": "canary-key", "userId": "ann", "event": "E"}
                async with session.post(f"{address}/v1/track", json=body) as reply:
                    assert reply.status == 200
                async with session.post(f"{address}/v1/track", json={**body, "writeKey": "nope"}) as reply:
                    assert reply.status == 401
            assert await supervisor.kill("api", signal.SIGTERM) == 0
        finally:
            await supervisor.stop()
    told = (tmp_path / "log").read_text()
    assert '"role": "api"' in told
    assert "canary-key" not in told
    assert "Traceback" not in told
