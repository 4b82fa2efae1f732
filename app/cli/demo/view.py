"""What a person sees while the demo runs: a live page on a terminal, else a plain line every few seconds.

Both go to stderr, so that stdout holds the summary alone. NO_COLOR is honoured by rich.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.cli.demo.board import Board, LastChange
from app.cli.demo.sample import SAMPLES, TRAITS

PLAIN_EVERY_S = 5.0
_BARS = "▁▂▃▄▅▆▇█"
_REFRESHES_PER_S = 8


class View(Protocol):
    """A way to show the board; used as a context."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def say(self, line: str) -> None:
        """What is being done now: "starting the broker"."""
        ...

    def show(self, board: Board) -> None:
        """Show the figures as they are; to be called a few times a second."""
        ...


def open_view(console: Console, *, seconds: float) -> View:
    """The live page where the console is a terminal, else plain lines."""
    return LiveView(console, seconds=seconds) if console.is_terminal else PlainView(console)


class PlainView:
    """One line every `PLAIN_EVERY_S`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_ms = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def say(self, line: str) -> None:
        self._print(line)

    def show(self, board: Board) -> None:
        if board.elapsed_ms >= self._next_ms:
            self._next_ms = board.elapsed_ms + int(PLAIN_EVERY_S * 1_000)
            self._print(plain_line(board))

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """A page that is drawn anew several times a second."""

    def __init__(self, console: Console, *, seconds: float) -> None:
        self._seconds = seconds
        self._said = ""
        self._live = Live(console=console, refresh_per_second=_REFRESHES_PER_S, screen=False, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def say(self, line: str) -> None:
        self._said = line
        self._live.update(Text(f"headwater demo: {line} …"))

    def show(self, board: Board) -> None:
        self._live.update(page(board, seconds=self._seconds, said=self._said))


def plain_line(board: Board) -> str:
    """The board in one line."""
    received, latency = board.received, board.latency(by_time=False, recent=True)
    sizes = ", ".join(f"{key} {count:,}" for key, count in board.members_count.items())
    return (
        f"{board.elapsed_ms / 1_000:5.1f} s  {board.events_per_s:5.0f} events/s, {board.sent_count:,} sent; "
        f"{received.delivered_count:,} of {board.expected_count:,} deliveries, {board.behind_count:,} behind, "
        f"{received.turned_away_count:,} retried; latency p50 {latency.p50_ms:,} ms, p99 {latency.p99_ms:,} ms; {sizes}"
    )


def page(board: Board, *, seconds: float, said: str = "") -> RenderableType:
    """The live page: 23 lines, so that the smallest usual terminal holds it."""
    grid = Table.grid(expand=True)
    grid.add_column(ratio=3)
    grid.add_column(ratio=2)
    grid.add_row(
        Panel(_audiences(board), title="audiences", height=10), Panel(_figures(board), title="figures", height=10)
    )
    grid.add_row(
        Panel(_last_changes(board.last_changes), title="last changes delivered", height=10),
        Panel(_traits(board), title="traits", height=10),
    )
    return Group(_head(board, seconds=seconds, said=said), grid)


def sparkline(counts: Sequence[int], *, width: int) -> str:
    """The last `width` counts as bars; the tallest is the greatest of them."""
    shown = list(counts)[-width:]
    top = max(shown, default=0)
    return "".join(_BARS[0 if top == 0 else round(count / top * (len(_BARS) - 1))] for count in shown)


def _head(board: Board, *, seconds: float, said: str) -> RenderableType:
    done_s = board.elapsed_ms / 1_000
    bar = ProgressBar(total=seconds, completed=min(done_s, seconds), width=40)
    line = Text.assemble(("Headwater demo", "bold"), f"  {done_s:.0f} of {seconds:.0f} s of events  {said}")
    head = Table.grid(expand=True)
    head.add_row(line, Align.right(bar))
    return head


def _audiences(board: Board) -> Table:
    table = _table()
    table.add_column("key", no_wrap=True)
    table.add_column("size", justify="right", style="bold")
    table.add_column("lately", no_wrap=True, style="cyan")
    for key, count in board.members_count.items():
        table.add_row(key, f"{count:,}", sparkline(board.sizes[key], width=30))
    return table


def _traits(board: Board) -> Table:
    table = _table()
    table.add_column("key", no_wrap=True)
    table.add_column("people", justify="right")
    table.add_column("sum", justify="right", style="bold")
    for key in TRAITS:
        held = [value for value in board.values[key].values() if isinstance(value, int | float)]
        table.add_row(key, f"{sum(value != 0 for value in held):,}", f"{sum(held):,.0f}")
    return table


def _figures(board: Board) -> Table:
    received = board.received
    by_event, by_time = board.latency(by_time=False, recent=True), board.latency(by_time=True, recent=True)
    table = _table()
    table.add_column("what", no_wrap=True)
    table.add_column("figure", justify="right", style="bold", no_wrap=True)
    for name, figure in (
        ("events/s", f"{board.events_per_s:,.0f}"),
        ("records sent", f"{board.sent_count:,}"),
        ("deliveries", f"{received.delivered_count:,} of {board.expected_count:,}"),
        ("turned away, retried", f"{received.turned_away_count:,}"),
        ("lag: due, not delivered", f"{board.behind_count:,}"),
        ("dead letters", f"{board.dead_count:,}"),
        ("latency p50, p99", f"{by_event.p50_ms:,}, {by_event.p99_ms:,} ms"),
        ("by time alone p50, p99", f"{by_time.p50_ms:,}, {by_time.p99_ms:,} ms"),
    ):
        table.add_row(name, figure)
    return table


def _last_changes(changes: Iterable[LastChange]) -> Table:
    table = _table()
    table.add_column("at", justify="right", no_wrap=True)
    for name in ("who", "key", "value"):
        table.add_column(name, no_wrap=True)
    kinds = {sample.key: sample.kind for sample in SAMPLES}
    for change in changes:
        text = str(change.value)
        if kinds.get(change.key) == "audience":
            text = "entered" if change.value is True else "left"
        table.add_row(
            f"{change.at_s:.1f} s",
            change.who.partition(":")[2],
            change.key,
            text + (" (time)" if change.by_time else ""),
        )
    return table


def _table() -> Table:
    return Table(box=None, show_header=False, expand=True, padding=(0, 1, 0, 0))
