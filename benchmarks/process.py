"""One process of a measurement: its command, its lines, its memory and its processor time."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil  # type: ignore[import-untyped]

ROOT = Path(__file__).parent.parent
SAMPLE_EVERY_S = 0.2
STOP_TIMEOUT_S = 10.0
LOG_TAIL_CHARACTERS = 1_500


class ProcessFailed(Exception):
    """A measured process ended early or hung: that figure is void, the others stand. Its log says why."""

    def __init__(self, name: str, what: str, log: Path) -> None:
        tail = log.read_text("utf-8", errors="replace")[-LOG_TAIL_CHARACTERS:] if log.exists() else ""
        super().__init__(f"{name} {what}\n{tail}".rstrip())
        self.what = what


@dataclass(frozen=True, slots=True)
class Mark:
    """One line that the process said."""

    event: str
    records: int
    t_s: float
    """Monotonic clock of the process when it said so; one clock for all processes of the machine."""
    cpu_s: float
    """Processor time, user and system, that the process had used when the line was read."""


def parse(line: bytes, cpu_s: float) -> Mark | None:
    """A mark, or None for anything else that a library may print to stdout."""
    try:
        said = orjson.loads(line)
        return Mark(said["event"], int(said.get("records", 0)), float(said["t"]), cpu_s)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None


class Measured:
    """A running process. Its marks can be awaited, its peak of memory is sampled."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.spawned_at_s = time.monotonic()
        self.rss_bytes_max = 0
        self.marks: dict[str, Mark] = {}
        """The last mark of each event."""
        self._process = process
        self._log = log
        self._changed = asyncio.Condition()
        self._ended = False

    async def wait_for(self, event: str, timeout_s: float) -> Mark:
        """The mark, as soon as it is there.

        Raises:
            ProcessFailed: the process ended without it, or `timeout_s` passed.
        """
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: event in self.marks or self._ended)
        except TimeoutError:
            raise ProcessFailed(self.name, f"did not say {event!r} in {timeout_s:.0f} s", self._log) from None
        if event not in self.marks:
            raise ProcessFailed(self.name, f"ended without saying {event!r}", self._log)
        return self.marks[event]

    async def finish(self, timeout_s: float) -> None:
        """Waits until the process has ended by itself.

        Raises:
            ProcessFailed: it still runs after `timeout_s`, or its exit code is not 0.
        """
        try:
            async with asyncio.timeout(timeout_s):
                code = await self._process.wait()
        except TimeoutError:
            raise ProcessFailed(self.name, f"did not end in {timeout_s:.0f} s", self._log) from None
        if code:
            raise ProcessFailed(self.name, f"ended with exit code {code}", self._log)

    async def read_lines(self, on_mark: Callable[[Mark], None]) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            mark = parse(line, self.cpu_s())
            if mark is not None:
                on_mark(mark)
                async with self._changed:
                    self.marks[mark.event] = mark
                    self._changed.notify_all()
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def sample_memory(self) -> None:
        with suppress(psutil.NoSuchProcess):
            while True:
                rss_bytes = sum(process.memory_info().rss for process in self._family())
                self.rss_bytes_max = max(self.rss_bytes_max, rss_bytes)
                await asyncio.sleep(SAMPLE_EVERY_S)

    def _family(self) -> list[psutil.Process]:
        system = psutil.Process(self._process.pid)  # one that has ended already is not there
        return [system, *system.children(recursive=True)]

    def cpu_s(self) -> float:
        """Processor time so far, user and system, of the process and its children; 0 when it has ended."""
        try:
            return float(sum(sum(process.cpu_times()[:2]) for process in self._family()))
        except psutil.NoSuchProcess:
            return 0.0

    async def stop(self) -> None:
        """Ends the process and its children, politely first."""
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is not None:
                return
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal_number)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._process.wait()


def ignore(_: Mark) -> None:
    """For callers that follow no progress."""


@asynccontextmanager
async def measured(
    name: str, command: Sequence[str], log: Path, on_mark: Callable[[Mark], None] = ignore
) -> AsyncIterator[Measured]:
    """Runs a command in the project's folder, in a process group of its own; stderr goes to `log`.

    It is stopped when the block is left, however that happens.
    """
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=stderr, cwd=ROOT, start_new_session=True
        )
    running = Measured(name, process, log)
    tasks = [asyncio.create_task(running.read_lines(on_mark)), asyncio.create_task(running.sample_memory())]
    try:
        yield running
    finally:
        await running.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
