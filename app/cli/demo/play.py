"""The demo from start to end: everything up, the stream in, what comes out watched until nothing is missing."""

from __future__ import annotations

import os
import secrets
from base64 import b64encode
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console

from app import configuration
from app.cli.demo.board import Board
from app.cli.demo.deployment import Deployment, serving
from app.cli.demo.receiver import Receiver
from app.cli.demo.sample import write_configuration
from app.cli.demo.shop import plan
from app.cli.demo.show import show
from app.cli.demo.summary import Outcome, Summary, summary_of
from app.cli.demo.truth import truth_of
from app.cli.demo.view import open_view
from app.clock import SystemClock
from app.observability import logs

Closing = Callable[[Summary, Deployment], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What the demo is told."""

    seconds: float
    """Of events; the windows run out after that."""
    rate: float
    """Records per second."""
    seed: int
    keep: bool
    """Go on serving after the summary, until stopped."""
    data_dir: Path
    """Empty, or not there yet."""


async def play(options: Options, *, console: Console, log: TextIO, closing: Closing) -> None:
    """Run the demo; `closing` gets the summary.

    Raises:
        CommandError: something did not start or could not be kept running.
    """
    clock = SystemClock()
    began_s = clock.monotonic_s()
    planned = plan(seed=options.seed, rate=options.rate, seconds=options.seconds)
    board = Board(truth_of(planned.sent), clock=clock)
    secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
    receiver = Receiver(secret, seed=options.seed, on_value=board.on_value)
    board.received = receiver.received
    async with AsyncExitStack() as stack:
        await receiver.start()
        stack.push_async_callback(receiver.stop)
        config = write_configuration(options.data_dir, hook_url=receiver.url, secret=secret)
        loaded = configuration.open_configuration(config, os.environ)
        logs.hide(configuration.secrets(loaded))
        with open_view(console, seconds=options.seconds) as view:
            deployment = await stack.enter_async_context(
                serving(loaded.settings, config, options.data_dir, log=log.fileno(), say=view.say)
            )
            view.say("events flow")
            log_read = await show(planned, board, view, deployment, loaded.settings)
        outcome = Outcome(
            truth=board.truth,
            broken=[each.value for each in planned.broken],
            sent_count=len(planned.sent) + len(planned.broken),
            acked_count=board.sent_count,
            in_time_count=board.in_time_count,
            received=receiver.received,
            changes=log_read.changes,
            dead=log_read.dead,
            latency=board.latency(by_time=False),
            lateness=board.latency(by_time=True),
            wall_s=clock.monotonic_s() - began_s,
        )
        closing(summary_of(outcome), deployment)
        if options.keep:
            raise await deployment.failure()
