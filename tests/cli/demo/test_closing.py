"""The summary as it is printed."""

from io import StringIO

from rich.console import Console

from app.cli.demo.closing import print_summary
from app.cli.demo.summary import Check, Summary


def _printed(summary: Summary) -> str:
    out = StringIO()
    print_summary(summary, Console(file=out, width=100))
    return out.getvalue()


def test_a_kept_promise_is_ticked_and_the_verdict_is_equal() -> None:
    text = _printed(Summary((Check("changes delivered", 3_404, 3_404),), {"wall_s": 70.1, "latency_ms": {"p50_ms": 9}}))
    assert "✓ " in text
    assert "3,404" in text
    assert "latency ms: p50 9" in text
    assert text.splitlines()[-1] == "equal to the truth"


def test_a_broken_one_is_crossed_and_its_differences_are_shown() -> None:
    text = _printed(Summary((Check("changes delivered", 2, 1, ("missing: user_id:u [vip] 1",)),), {}))
    assert "✗ " in text
    assert "missing: user_id:u [vip] 1" in text
    assert text.splitlines()[-1] == "NOT equal to the truth"
