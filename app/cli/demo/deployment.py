"""Everything that `headwater up` runs, started step by step so that the person who waits is told of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from app.cli.apply import put_into_effect
from app.cli.brokers import INSTANCE
from app.cli.output import CommandError
from app.cli.supervisor import Supervisor, usual_children
from app.embedded.broker import EmbeddedBroker
from app.observability import run_file
from app.settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What serves."""

    supervisor: Supervisor
    broker: EmbeddedBroker
    api: str
    """The API's address."""

    @property
    def brokers(self) -> str:
        return self.broker.bootstrap

    async def failure(self) -> CommandError:
        """Wait until something can no longer be kept running; gives the reason."""
        processes = asyncio.create_task(self.supervisor.failure())
        broker = asyncio.create_task(self.broker.wait())
        try:
            await asyncio.wait({processes, broker}, return_when=asyncio.FIRST_COMPLETED)
            if broker.done():
                return CommandError(
                    f"the broker ended with code {broker.result()}; its log is in {self.broker.home.path}"
                )
            return CommandError(processes.result())
        finally:
            processes.cancel()
            broker.cancel()


@asynccontextmanager
async def serving(settings: Settings, config: Path, data_dir: Path, *, log: int, say: Say) -> AsyncIterator[Deployment]:
    """Broker, topics, definitions and the three processes; stopped in the opposite order at the end of the block.

    Args:
        log: File descriptor for the processes' logs: a live page and log lines do not share a terminal.
    """
    async with AsyncExitStack() as stack:
        say("starting the broker")
        broker = EmbeddedBroker(data_dir, progress=_download(say))
        stack.push_async_callback(broker.stop)
        await broker.start()
        say("making topics, putting the definitions into effect")
        await put_into_effect(settings, broker.bootstrap)
        say("starting stream, delivery and API")
        supervisor = Supervisor(usual_children(), config=config, data_dir=data_dir, brokers=broker.bootstrap, log=log)
        stack.push_async_callback(supervisor.stop)
        await supervisor.start()
        await _ready(Deployment(supervisor, broker, ""))
        api = supervisor.addresses("api").get("api", "")
        # `headwater send --data DIR` and the like find this instance as they find one of `headwater up`.
        run_file.write(data_dir, INSTANCE, {"kafka": broker.bootstrap, "api": api})
        stack.callback(run_file.remove, data_dir, INSTANCE)
        yield Deployment(supervisor, broker, api)


async def _ready(deployment: Deployment) -> None:
    """Wait until all serve; a broker that ends meanwhile is told as such, not as processes that cannot reach it."""
    ready, failing = asyncio.create_task(deployment.supervisor.ready()), asyncio.create_task(deployment.failure())
    try:
        await asyncio.wait({ready, failing}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            raise failing.result()
        await ready
    finally:
        for task in (ready, failing):
            task.cancel()
        await asyncio.gather(ready, failing, return_exceptions=True)


def _download(say: Say) -> Callable[[int, int], None]:
    """Tells of the broker's jars, every tenth of them: only the first start on a machine downloads any."""
    told_tenths = -1

    def tell(done_bytes: int, total_bytes: int) -> None:
        nonlocal told_tenths
        tenths = done_bytes * 10 // max(1, total_bytes)
        if tenths > told_tenths:
            told_tenths = tenths
            say(f"downloading the broker, once for this machine: {done_bytes >> 20} of {total_bytes >> 20} MB")

    return tell
