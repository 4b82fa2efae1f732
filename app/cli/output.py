"""How commands speak: results on stdout, everything for people on stderr, failures as an exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.errors import Fault, HeadwaterError

if TYPE_CHECKING:
    from rich.progress import Progress

DONE = 0
FAILED = 1
WRONG_USAGE = 2
_QUIET_S = 2.0


class CommandError(HeadwaterError):
    """A command cannot go on, for a reason its user can mend; the message says how."""

    def __init__(self, message: str, *, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def say(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def answer(value: object) -> None:
    """One line of JSON for machines, on stdout."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def fault_lines(faults: Sequence[Fault]) -> str:
    """Faults for people, and their number."""
    return "\n".join([*map(str, faults), counted(len(faults), "problem")])


def doubt_lines(doubts: Sequence[Fault]) -> str:
    """What is allowed and perhaps not meant, for people."""
    return "\n".join(f"{doubt.at} warning: {doubt.said}" for doubt in doubts)


def counted(count: int, what: str) -> str:
    """1 line, 2 lines."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def fault_values(faults: Sequence[Fault]) -> list[dict[str, str | int]]:
    """Faults for machines."""
    return [
        {"file": one.file, "line": one.line, "column": one.column, "path": one.path, "message": one.message}
        for one in faults
    ]


class Bar:
    """A progress bar on stderr: only on a terminal, and only for what takes longer than two seconds."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._started_s = time.monotonic()
        self._progress: Progress | None = None

    def advance(self, count: int) -> None:
        self._done += count
        if self._progress is None:
            if not sys.stderr.isatty() or time.monotonic() - self._started_s < _QUIET_S:
                return
            self._progress = _shown(self._what, self._total)
        self._progress.update(self._progress.task_ids[0], completed=self._done)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Bar]:
    """A bar for the length of the block."""
    bar = Bar(what, total)
    try:
        yield bar
    finally:
        bar.close()


def _shown(what: str, total: int | None) -> Progress:
    # Loaded only where a bar is shown: most commands are over sooner than this import.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    shown.add_task(what, total=total)
    shown.start()
    return shown
