"""The summary as it is printed."""

from io import StringIO

from rich.console import Console

from app.cli.demo.board import Latency
from app.cli.demo.closing import print_summary
from app.cli.demo.summary import Check, Figures, Summary

FIGURES = Figures(
    profiles=40,
    became_known=11,
    merged=5,
    changes=100,
    changes_by_time_alone=30,
    told_again=17,
    requests=120,
    retried=2,
    repeats_dropped=0,
    latency=Latency(70, 9, 1_234, 2_000),
    lateness=Latency(30, 8, 9, 10),
    wall_s=70.1,
)


def _printed(summary: Summary) -> str:
    out = StringIO()
    print_summary(summary, Console(file=out, width=100))
    return out.getvalue()


def test_a_kept_promise_is_ticked_and_the_verdict_is_equal() -> None:
    text = _printed(Summary((Check("changes delivered", 3_404, 3_404),), FIGURES))
    assert "✓ " in text
    assert "3,404" in text
    assert "from an event to the delivery of what it changed: p50 9 ms, p99 1,234 ms, at most 2,000 ms" in text
    assert "11 anonymous profiles became known, 5 became part of another\n17 values told once more" in text
    assert text.splitlines()[-1] == "equal to the truth"


def test_a_broken_one_is_crossed_and_its_differences_are_shown() -> None:
    text = _printed(Summary((Check("changes delivered", 2, 1, ("missing: user_id:u [vip] 1",)),), FIGURES))
    assert "✗ " in text
    assert "missing: user_id:u [vip] 1" in text
    assert text.splitlines()[-1] == "NOT equal to the truth"
