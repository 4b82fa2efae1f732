"""One run of the benchmarks: what all its jobs share, and the rounds in alternating order."""

import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.engines import Engine
from benchmarks.process import Mark, ProcessFailed

T = TypeVar("T")
SAY_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Failed:
    """A round without a figure."""

    what: str


@dataclass(slots=True)
class Status:
    """Live progress on stderr: one line that renews itself; where that is no terminal, a line every few seconds."""

    live: bool = field(default_factory=sys.stderr.isatty)
    _said_s: float = 0.0

    def show(self, text: str) -> None:
        """A passing state; the next one takes its place."""
        if self.live:
            print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._said_s > SAY_EVERY_S:
            self._said_s = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def tell(self, text: str) -> None:
        """Something that stays."""
        print(f"\r\x1b[2K{text}" if self.live else text, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Bench:
    """One run. Its topics and groups begin with `prefix`, its files lie under `work`."""

    brokers: str
    prefix: str
    work: Path
    seed: int
    rounds: int
    engines: Sequence[Engine]
    commands: Mapping[str, Sequence[str]]
    """Engine name → the words before the job's name."""
    status: Status

    def command(self, engine: Engine, job: str, **options: object) -> list[str]:
        named = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [*self.commands[engine.name], job, "--brokers", self.brokers, *named]

    def place(self, name: str) -> Path:
        """An empty directory for one engine's data in one round."""
        path = self.work / name
        path.mkdir(parents=True)
        return path

    def follow(self, title: str, events: int) -> Callable[[Mark], None]:
        """Shows an engine's marks, with the rate between one and the next."""
        before: list[Mark] = []

        def show(mark: Mark) -> None:
            rate = ""
            if before and mark.t_s > before[-1].t_s and mark.records > before[-1].records:
                per_s = (mark.records - before[-1].records) / (mark.t_s - before[-1].t_s)
                rate = f", {per_s:,.0f}/s"
            before[:] = [mark]
            self.status.show(f"{title}: {mark.event} {mark.records:,} of {events:,}{rate}")

        return show


def order(engines: Sequence[Engine], round_number: int) -> list[Engine]:
    """The engines of a round: each second round runs backwards, so that nobody always follows the same neighbour."""
    return list(engines) if round_number % 2 == 0 else list(reversed(engines))


async def outcome(bench: Bench, measurement: Awaitable[T]) -> T | Failed:
    """Of a round: a failure voids its figure only."""
    try:
        return await measurement
    except ProcessFailed as failure:
        bench.status.tell(str(failure))
        return Failed(failure.what)


async def rounds(
    bench: Bench, job: str, engines: Sequence[Engine], measure: Callable[[Engine, str], Awaitable[T]]
) -> dict[str, list[T | Failed]]:
    """Every engine in every round; a failure voids its own figure only.

    Args:
        measure: Takes an engine and a name that no other round has, for topics, groups and files.
    Returns:
        Engine name → one outcome for each round.
    """
    outcomes: dict[str, list[T | Failed]] = {engine.name: [] for engine in engines}
    for number in range(bench.rounds):
        for engine in order(engines, number):
            found = await outcome(bench, measure(engine, f"{bench.prefix}-{job}-{engine.name}-{number}"))
            outcomes[engine.name].append(found)
            bench.status.tell(f"{job} {number + 1}/{bench.rounds} {engine.title}: {found}")
    return outcomes


def succeeded(outcomes: Sequence[T | Failed]) -> list[T]:
    return [outcome for outcome in outcomes if not isinstance(outcome, Failed)]


def failures(outcomes: Sequence[object]) -> str:
    """What went wrong in some round, for the table; empty where nothing did."""
    return "; ".join(sorted({outcome.what for outcome in outcomes if isinstance(outcome, Failed)}))
