"""The closing summary as a person reads it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from app.cli.demo.summary import Check, Summary


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
    for name, figure in summary.figures.items():
        console.print(f"  {name.replace('_', ' ')}: {_text(figure)}", markup=False, highlight=False)
    verdict = "equal to the truth" if summary.is_equal else "NOT equal to the truth"
    console.print(f"[bold {'green' if summary.is_equal else 'red'}]{verdict}[/]")


def _print_differences(check: Check, console: Console) -> None:
    if check.differences:
        console.print(f"{check.name}:", markup=False, highlight=False)
    for line in check.differences:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _text(figure: object) -> str:
    if isinstance(figure, dict):
        return ", ".join(f"{name.removesuffix('_ms')} {_text(value)}" for name, value in figure.items())
    return f"{figure:,}" if isinstance(figure, int) else str(figure)
