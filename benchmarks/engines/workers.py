"""A job on several worker processes of one consumer group, as people scale Headwater: followed as one engine.

Takes the command line of the job's engine, with `--workers`, `--module` and `--hops`; speaks the harness's protocol.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from benchmarks.engines.headwater import STEP
from benchmarks.engines.hops import PASSED, Hops
from benchmarks.peers.job import say
from benchmarks.process import parse

HEADWATER = "benchmarks.engines.headwater"
STOP_TIMEOUT_S = 60.0


class Workers:
    """Processes that run until all of them together have done every event."""

    def __init__(self, number: int, module: str, words: Sequence[str], hops: Hops) -> None:
        self._commands = [(sys.executable, "-m", module, *words, "--worker", str(n)) for n in range(number)]
        self._hops = hops
        self._finished = asyncio.Event()

    async def go(self) -> None:
        """Start them, wait until the last event, stop them.

        Raises:
            RuntimeError: one of them ended before, or not with exit code 0.
        """
        processes = [
            await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE) for command in self._commands
        ]
        reading = [asyncio.create_task(self._follow(process)) for process in processes]
        finished = asyncio.create_task(self._finished.wait())
        await asyncio.wait([finished, *reading], return_when=asyncio.FIRST_COMPLETED)
        for process in processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_TIMEOUT_S):
            codes = [await process.wait() for process in processes]
        if not finished.done() or any(codes):
            raise RuntimeError(f"the workers ended with exit codes {codes}")
        await asyncio.gather(*reading)

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            mark = parse(line, 0.0)
            if mark is None:
                continue
            if mark.event == PASSED:
                self._hops.passed(mark.records)
            elif mark.event == STEP and self._hops.done(mark.records):
                self._finished.set()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--module", default=HEADWATER)
    parser.add_argument("--hops", type=int, default=1)
    own, words = parser.parse_known_args()
    job = argparse.ArgumentParser()
    for name in ("events", "warm"):
        job.add_argument(f"--{name}", type=int, required=True)
    size, _ = job.parse_known_args(words)
    say("started")
    asyncio.run(Workers(own.workers, own.module, words, Hops(own.hops, events=size.events, warm=size.warm)).go())


if __name__ == "__main__":
    main()
