"""`headwater demo`."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.demo.closing import print_summary
from app.cli.demo.deployment import Deployment
from app.cli.demo.play import Closing, Options, play
from app.cli.demo.shop import SECONDS_MIN
from app.cli.demo.summary import Summary
from app.cli.options import Json
from app.cli.output import DONE, FAILED, WRONG_USAGE, CommandError, answer, say
from app.cli.signals import until_signal
from app.cli.up import only_one
from app.observability import logs

LOG_FILE = "headwater.log"
RATE_PER_S = 120.0


def demo(
    seconds: Annotated[float, typer.Option("--seconds", min=SECONDS_MIN, max=3600.0, help="Seconds of events.")] = 40.0,
    keep: Annotated[bool, typer.Option("--keep", help="Go on serving after the summary; keep the data.")] = False,
    rate: Annotated[float, typer.Option("--rate", min=10.0, max=2000.0, help="Events per second.")] = RATE_PER_S,
    seed: Annotated[int, typer.Option("--seed", help="Which events: the same seed, the same events.")] = 1,
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="An empty directory, kept; by default a temporary one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show everything at work: a shop's events, audiences, traits and deliveries, checked against the truth.

    Starts a broker and the stream, delivery and API processes on this machine, sends a shop's events, and receives the
    deliveries itself. The shop knows which changes its events must cause, so the summary can say whether exactly
    those were delivered, in order: exit 0 if so, else 1.

    \b
    Examples:
      headwater demo
      headwater demo --seconds 20 --keep
      headwater demo --seed 7 --json
    """
    data_dir = _data_dir(data)
    verdict: list[bool] = []

    def closing(summary: Summary, deployment: Deployment) -> None:
        verdict.append(summary.is_equal)
        if as_json:
            answer(summary.as_json())
        else:
            print_summary(summary, Console())
        if keep:
            say(f"still serving: API {deployment.api}, Kafka {deployment.brokers}, data in {data_dir}; Ctrl-C stops it")

    options = Options(seconds=seconds, rate=rate, seed=seed, keep=keep, data_dir=data_dir)
    try:
        _run(options, closing)
    finally:
        is_good = verdict == [True]
        if is_good and data is None and not keep:
            shutil.rmtree(data_dir, ignore_errors=True)
        else:
            say(f"the demo's data and logs are in {data_dir}")
    raise typer.Exit(DONE if is_good else FAILED)


def _run(options: Options, closing: Closing) -> None:
    with only_one(options.data_dir), (options.data_dir / LOG_FILE).open("a", encoding="utf-8") as log:
        logs.configure("demo", stream=log)
        work = play(options, console=Console(stderr=True), log=log, closing=closing)
        asyncio.run(until_signal(work))


def _data_dir(given: Path | None) -> Path:
    """The demo counts on finding nobody: people of an earlier run would make the truth wrong."""
    if given is None:
        return Path(tempfile.mkdtemp(prefix="headwater-demo-"))
    given = given.absolute()
    if given.exists() and (not given.is_dir() or any(given.iterdir())):
        raise CommandError(f"{given} is not an empty directory; the demo needs a fresh one", code=WRONG_USAGE)
    given.mkdir(parents=True, exist_ok=True)
    return given
