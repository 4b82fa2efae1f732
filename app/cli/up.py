"""`headwater up`: everything on one machine."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app import configuration
from app.cli.apply import put_into_effect
from app.cli.brokers import INSTANCE
from app.cli.options import CONFIG_DEFAULT, DATA_DEFAULT, Config, Data
from app.cli.output import Bar, CommandError, answer, progress
from app.cli.signals import until_signal
from app.cli.supervisor import Supervisor, usual_children
from app.embedded.broker import EmbeddedBroker
from app.embedded.jars import Progress
from app.observability import logs, run_file
from app.settings import Settings


def up(
    config: Config = CONFIG_DEFAULT,
    data: Data = DATA_DEFAULT,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Stream workers.")] = 1,
) -> None:
    """Run everything on this machine: the broker if it is embedded, stream, delivery and API.

    When serving, prints one line of JSON on stdout: {"ready": true, "api": "http://…", "kafka": "host:port"}.
    SIGTERM and Ctrl-C stop it cleanly; what it knows survives in the data directory.

    \b
    Examples:
      headwater up
      headwater up --config headwater.yaml --data /var/lib/headwater --workers 2
    """
    logs.configure("up")
    loaded = configuration.open_configuration(config, os.environ)
    logs.hide(configuration.secrets(loaded))
    data = data.absolute()
    with only_one(data):
        asyncio.run(until_signal(_serve(loaded.settings, config.absolute(), data, workers)))


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for this instance.

    Raises:
        CommandError: another instance holds it, or it cannot be made.
    """
    try:
        (data_dir / "run").mkdir(parents=True, exist_ok=True)
        file = (data_dir / "run" / "lock").open("w")
    except OSError as error:
        raise CommandError(f"the data directory {data_dir} cannot be used: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"another headwater is running on {data_dir}; stop it, or give another --data") from None
        yield


@asynccontextmanager
async def running(settings: Settings, config: Path, data_dir: Path, workers: int = 1) -> AsyncIterator[Supervisor]:
    """Everything, serving; stopped in the opposite order at the end of the block."""
    async with AsyncExitStack() as stack:
        brokers, broker = settings.kafka.brokers, None
        if settings.kafka.is_embedded:
            broker = EmbeddedBroker(data_dir, port=0, progress=_download(stack.enter_context(progress("downloading"))))
            stack.push_async_callback(broker.stop)
            await broker.start()
            brokers = broker.bootstrap
        await put_into_effect(settings, brokers)
        supervisor = Supervisor(usual_children(workers), config=config, data_dir=data_dir, brokers=brokers)
        stack.push_async_callback(supervisor.stop)
        await supervisor.start()
        if broker is not None:
            watching = asyncio.create_task(_watch(broker, supervisor), name="watch the broker")
            stack.push_async_callback(_cancelled, watching)
        await supervisor.ready()
        run_file.write(data_dir, INSTANCE, {"kafka": brokers, "api": supervisor.addresses("api").get("api", "")})
        stack.callback(run_file.remove, data_dir, INSTANCE)
        yield supervisor


def _download(bar: Bar) -> Progress:
    told = 0

    def tell(done_bytes: int, total_bytes: int) -> None:
        nonlocal told
        if not told:
            logs.get("up").info("downloading the broker, once for this machine", bytes=total_bytes)
        bar.advance(done_bytes - told)
        told = done_bytes

    return tell


async def _watch(broker: EmbeddedBroker, supervisor: Supervisor) -> None:
    # Without it the workers would go on asking a broker that nobody starts again.
    code = await broker.wait()
    supervisor.give_up(f"the broker ended with code {code}; its log is in {broker.home.path}")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _serve(settings: Settings, config: Path, data_dir: Path, workers: int) -> None:
    """Serve until cancelled.

    Raises:
        CommandError: a process could not be kept running.
    """
    async with running(settings, config, data_dir, workers) as supervisor:
        instance = run_file.read(data_dir, INSTANCE) or {}
        answer({"ready": True, "api": instance["api"], "kafka": instance["kafka"]})
        raise CommandError(await supervisor.failure())
