"""Starts Headwater's processes, waits until they serve, starts again what dies, stops them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from app.cli.orphans import PARENT_VARIABLE
from app.cli.output import WRONG_USAGE, CommandError
from app.observability import failpoints, logs, run_file

WORKER = (sys.executable, "-m", "app", "worker")
EXITS_MAX = 5
EXITS_WITHIN_S = 60.0
DELAY_S_FIRST = 0.25
DELAY_S_MAX = 5.0
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process to keep running."""

    name: str
    """`stream-0`: its directory, its run file and its log's role."""
    role: str
    """stream, delivery or api."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Added to the supervisor's own; for failpoints."""


def usual_children(workers: int = 1) -> tuple[ChildSpec, ...]:
    """What `headwater up` runs."""
    streams = tuple(ChildSpec(f"stream-{number}", "stream") for number in range(workers))
    return (*streams, ChildSpec("delivery", "delivery"), ChildSpec("api", "api"))


class _Child:
    __slots__ = ("environ", "exits_s", "process", "restart", "spec", "task")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.environ = dict(spec.environ)
        self.process: asyncio.subprocess.Process | None = None
        self.exits_s: deque[float] = deque(maxlen=EXITS_MAX)
        self.restart = True
        self.task: asyncio.Task[None] | None = None


class Supervisor:
    """Runs `python -m app worker …` processes on one data directory and one broker.

    Their logs go to `log` (a file descriptor), by default this process's stderr; stdout stays the command's own.
    `program` is what is run with a role, `--name`, `--config`, `--data` and `--brokers`.
    """

    def __init__(
        self,
        children: tuple[ChildSpec, ...],
        *,
        config: Path,
        data_dir: Path,
        brokers: str,
        log: int | None = None,
        program: tuple[str, ...] = WORKER,
    ) -> None:
        self._children = {spec.name: _Child(spec) for spec in children}
        self._config = config
        self._data_dir = data_dir
        self._brokers = brokers
        self._log = sys.stderr.fileno() if log is None else log
        self._program = program
        self._log_lines = logs.get("supervisor")
        self._stopping = False
        self._failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._children)

    async def start(self) -> None:
        """Start every process; returns before they serve."""
        await asyncio.gather(*(self.start_child(name) for name in self._children))

    async def start_child(self, name: str, environ: Mapping[str, str] | None = None) -> None:
        """Start one that does not run and keep it running; `environ` replaces what its spec adds to the environment."""
        child = self._children[name]
        await self._let_go(child)
        if environ is not None:
            child.environ = dict(environ)
        child.restart = True
        child.exits_s.clear()
        await self._spawn(child)
        child.task = asyncio.create_task(self._keep(child), name=f"keep {name}")

    async def ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until each process says it is ready.

        Raises:
            CommandError: one gave up, or the time is over; the message says which part is not ready.
        """
        tasks = {asyncio.create_task(self._all_ready(timeout_s)), asyncio.create_task(self._raise_failure())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _all_ready(self, timeout_s: float) -> None:
        await asyncio.gather(*(self.child_ready(name, timeout_s) for name in self._children))

    async def _raise_failure(self) -> None:
        raise CommandError(await self.failure())

    async def child_ready(self, name: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until one process says it is ready."""
        state = "not started"
        try:
            async with asyncio.timeout(timeout_s), aiohttp.ClientSession() as session:
                while True:
                    state = await self._state(name, session)
                    if not state:
                        return
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise CommandError(f"{name} is not ready after {timeout_s:.0f} s: {state}") from None

    async def failure(self) -> str:
        """Wait until a process has been given up; gives the reason. Until then everything is kept running."""
        return await asyncio.shield(self._failure)

    def pid(self, name: str) -> int | None:
        """The process's id while it runs."""
        process = self._children[name].process
        return process.pid if process is not None and process.returncode is None else None

    def addresses(self, name: str) -> dict[str, str]:
        """Where a process listens: `health`, and for the API `api`; empty until it has said so."""
        pid = self.pid(name)
        return (run_file.read(self._data_dir, name, pid=pid) or {}) if pid is not None else {}

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL, *, restart: bool = False) -> int:
        """Send a signal and wait for the end; gives the return code. With `restart` it is started again by itself."""
        child = self._children[name]
        child.restart = restart
        child.exits_s.clear()
        process = child.process
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        return await process.wait()

    async def ended(self, name: str) -> int:
        """Wait until the present process of a child ends; gives its return code."""
        process = self._children[name].process
        return 0 if process is None else await process.wait()

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop all cleanly, and by force what has not stopped in time."""
        self._stopping = True
        await asyncio.gather(*(self._stop(child, timeout_s) for child in self._children.values()))
        self._failure.cancel()

    async def _stop(self, child: _Child, timeout_s: float) -> None:
        child.restart = False
        process = child.process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(timeout_s):
                    await process.wait()
            except TimeoutError:
                self._log_lines.warning("killed, it did not stop", child=child.spec.name, after_s=timeout_s)
                process.kill()
                await process.wait()
        await self._let_go(child)

    async def _let_go(self, child: _Child) -> None:
        child.restart = False
        if child.task is not None:
            child.task.cancel()
            await asyncio.gather(child.task, return_exceptions=True)
            child.task = None

    async def _spawn(self, child: _Child) -> None:
        child.process = await asyncio.create_subprocess_exec(
            *(*self._program, child.spec.role, "--name", child.spec.name),
            *("--config", str(self._config), "--data", str(self._data_dir), "--brokers", self._brokers),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **child.environ, PARENT_VARIABLE: str(os.getpid())},
        )

    async def _keep(self, child: _Child) -> None:
        """Start a process again whenever it ends, later each time, until it has ended too often."""
        loop, name = asyncio.get_running_loop(), child.spec.name
        while child.process is not None:
            code = await child.process.wait()
            if not child.restart or self._stopping:
                return
            now_s = loop.time()
            child.exits_s.append(now_s)
            recent = [at_s for at_s in child.exits_s if now_s - at_s <= EXITS_WITHIN_S]
            if code == WRONG_USAGE or len(recent) >= EXITS_MAX:
                self.give_up(
                    f"{name} ended with code {code}, {len(recent)} times within {EXITS_WITHIN_S:.0f} s; "
                    "its log says why"
                )
                return
            delay_s = min(DELAY_S_MAX, DELAY_S_FIRST * 2 ** (len(recent) - 1))
            self._log_lines.warning("ended, starting it again", child=name, code=code, in_s=delay_s)
            await asyncio.sleep(delay_s)
            # One failpoint is one death: the process that comes back has to live.
            child.environ = {failpoints.VARIABLE: ""}
            await self._spawn(child)

    def give_up(self, reason: str) -> None:
        """Something can no longer be kept running: whoever waits for `failure` is told."""
        self._log_lines.error("given up", reason=reason)
        if not self._failure.done():
            self._failure.set_result(reason)

    async def _state(self, name: str, session: aiohttp.ClientSession) -> str:
        """Why a process is not ready; empty when it is."""
        address = self.addresses(name).get("health")
        if address is None:
            return "it has not said where it listens"
        try:
            async with session.get(f"{address}/health/ready", timeout=aiohttp.ClientTimeout(total=5.0)) as reply:
                if reply.status == 200:
                    return ""
                return (await reply.text()).strip()
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"{address} does not answer: {error}"
