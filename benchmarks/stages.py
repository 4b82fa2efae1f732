"""Where Headwater's own time goes, stage by stage: its engine measures, the harness only passes it on."""

import asyncio

from benchmarks.bench import Bench
from benchmarks.cluster import create_topic
from benchmarks.count import Source
from benchmarks.engines import Engine
from benchmarks.process import ROOT, ProcessFailed, parse
from benchmarks.report import fenced

TIMEOUT_S = 1_200.0


async def run(bench: Bench, engine: Engine, source: Source) -> str:
    """The text that the engine's `profile` prints, for pasting.

    Raises:
        ProcessFailed: it ended with another code than 0, or took more than `TIMEOUT_S`.
    """
    name = f"{bench.prefix}-profile"
    await create_topic(bench.brokers, f"{name}-out")
    place = bench.place(name)
    log = place / "stderr.log"
    command = bench.command(
        engine, "profile", topic=source.topic, out=f"{name}-out", group=name, data=place / "data",
        events=source.truth.events, warm=source.warm,
    )  # fmt: skip
    bench.status.show(f"profile, {engine.title}")
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=stderr, cwd=ROOT
        )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        raise ProcessFailed(engine.title, f"did not end in {TIMEOUT_S:.0f} s", log) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ProcessFailed(engine.title, f"ended with exit code {process.returncode}", log)
    text = [line for line in said.splitlines(keepends=True) if parse(line, 0.0) is None]
    return fenced(b"".join(text).decode())
