"""The closing summary as a person reads it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from app.cli.demo.board import Latency
from app.cli.demo.summary import Check, Figures, Summary


def print_summary(summary: Summary, console: Console) -> None:
    """The checks, the first differences of those that failed, the figures beside them, and the verdict."""
    table = Table(title="Headwater demo: what happened against what had to", title_justify="left", box=None)
    table.add_column("")
    table.add_column("checked")
    table.add_column("expected", justify="right")
    table.add_column("found", justify="right")
    for check in summary.checks:
        mark, style = ("✓", "green") if check.is_kept else ("✗", "bold red")
        table.add_row(f"[{style}]{mark}[/]", check.name, f"{check.expected_count:,}", f"{check.found_count:,}")
    console.print(table)
    for check in summary.checks:
        _print_differences(check, console)
    for line in _lines(summary.figures):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    verdict = "equal to the truth" if summary.is_equal else "NOT equal to the truth"
    console.print(f"[bold {'green' if summary.is_equal else 'red'}]{verdict}[/]")


def _print_differences(check: Check, console: Console) -> None:
    if check.differences:
        console.print(f"{check.name}:", markup=False, highlight=False)
    for line in check.differences:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _lines(figures: Figures) -> tuple[str, ...]:
    return (
        f"{figures.changes:,} changes of {figures.profiles:,} profiles, {figures.changes_by_time_alone:,} by time",
        f"{figures.became_known:,} anonymous profiles became known, {figures.merged:,} became part of another",
        f"{figures.told_again:,} values told once more, to identifiers that were new",
        f"{figures.requests:,} requests, {figures.retried:,} of them turned away and sent again",
        f"from an event to the delivery of what it changed: {_spread(figures.latency)}",
        f"from an instant to the delivery of what it changed: {_spread(figures.lateness)}",
        f"{figures.wall_s:.0f} s in all",
    )


def _spread(latency: Latency) -> str:
    return f"p50 {latency.p50_ms:,} ms, p99 {latency.p99_ms:,} ms, at most {latency.max_ms:,} ms"
