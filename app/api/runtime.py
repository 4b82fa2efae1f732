"""The API process: the server, its Kafka producer and its health listener, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack

from aiohttp import web

from app.api.auth import Credentials
from app.api.ingest import Ingest, Spreader
from app.api.server import NotAcknowledged, Record, Server
from app.clock import SystemClock
from app.errors import HeadwaterError
from app.kafka.clients import KafkaSettings, answers
from app.kafka.producer import Producer
from app.observability import logs, run_file
from app.observability.health import Health, Part
from app.observability.metrics import Metrics
from app.observability.server import HealthServer
from app.settings import Settings, WorkerOptions
from app.topics import Topics

PROBE_EVERY_S = 2.0
PROBE_TIMEOUT_S = 5.0
SHUTDOWN_TIMEOUT_S = 5.0
"""For calls under way when the process is asked to stop."""
ACK_TIMEOUT_S = 25.0
"""Less than the server waits, so that the reason is known when a call is refused."""


class ListenError(HeadwaterError):
    """The address cannot be listened on; the operator gives another or frees it."""


async def run(settings: Settings, options: WorkerOptions) -> int:
    """Serve until cancelled; gives the exit code."""
    log = logs.get("api")
    health, metrics = Health(), Metrics("api")
    async with AsyncExitStack() as stack:
        kafka, listener = health.part("kafka", "connecting"), health.part("listener")
        probe = HealthServer(health, metrics, host=settings.health.host, port=settings.health.port)
        health_address = await _listening(probe.start(), settings.health.host, settings.health.port)
        stack.push_async_callback(probe.stop)
        run_file.write(options.data_dir, options.name, {"health": health_address})
        stack.callback(run_file.remove, options.data_dir, options.name)

        producer = Producer(options.brokers, settings.kafka.security, ack_timeout_s=ACK_TIMEOUT_S)
        stack.push_async_callback(producer.stop)
        await producer.start()
        ingest = Ingest(producer, Spreader(Topics(settings.kafka.topic_prefix).events_raw, settings.kafka.partitions))
        kafka.up()

        async def produce(records: Sequence[Record]) -> None:
            try:
                await ingest.produce(records)
            except NotAcknowledged as error:
                kafka.down(str(error))
                raise

        credentials = Credentials.of(settings.sources, settings.api.tokens)
        runner = web.AppRunner(
            Server(credentials, produce, health, metrics, SystemClock()).application,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
        sending = asyncio.create_task(ingest.run(), name="ingest")
        probing = asyncio.create_task(_keep_probing(kafka, options.brokers, settings), name="probe")
        stack.push_async_callback(_end, sending, probing)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        address = await _listening(_listen(runner, settings), settings.api.host, settings.api.port)
        run_file.write(options.data_dir, options.name, {"health": health_address, "api": address})
        # Only now: whoever finds this process ready asks where it serves.
        listener.up()
        log.info("listening", api=address, health=health_address)
        # Not gather: cancelling this wait must leave them running until the calls under way are answered.
        done, _ = await asyncio.wait({sending, probing}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    return 0


async def _listen(runner: web.AppRunner, settings: Settings) -> str:
    await web.TCPSite(runner, settings.api.host, settings.api.port).start()
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _listening(start: Awaitable[str], host: str, port: int) -> str:
    try:
        return await start
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}; is another process there?") from None


async def _keep_probing(kafka: Part, brokers: str, settings: Settings) -> None:
    """A process that failed once gets no more traffic, so it has to find out by itself that Kafka is back."""
    address = KafkaSettings.of(brokers, settings.kafka.security)
    while True:
        await asyncio.sleep(PROBE_EVERY_S)
        if kafka.reason and await answers(address, PROBE_TIMEOUT_S):
            kafka.up()


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
