"""When a lane holds back, and how it comes again."""

from app.delivery.breaker import SLICES, Breaker, BreakerSettings, BreakerState

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def feed(breaker: Breaker, failures: str, *, start_s: float = 0.0, step_s: float = 1.0) -> float:
    """`x` fails, `.` does not; gives the time of the last."""
    now_s = start_s
    for index, what in enumerate(failures):
        now_s = start_s + index * step_s
        breaker.record(failed=what == "x", probe=False, now_s=now_s)
    return now_s


def test_ten_in_a_row_open_it_and_nine_do_not():
    breaker = Breaker(BreakerSettings(requests_min=1000))
    now_s = feed(breaker, "x" * 9 + "." + "x" * 9)
    assert breaker.state(now_s) is CLOSED
    breaker.record(failed=True, probe=False, now_s=now_s)
    assert breaker.state(now_s) is OPEN


def test_seventy_percent_of_ten_open_it_and_less_or_fewer_do_not():
    breaker = Breaker(BreakerSettings(in_a_row=1000))
    assert breaker.state(feed(breaker, "...xxxxxx")) is CLOSED
    assert breaker.state(feed(breaker, "x", start_s=9)) is OPEN
    breaker = Breaker(BreakerSettings(in_a_row=1000))
    assert breaker.state(feed(breaker, "....xxxxxx")) is CLOSED


def test_what_is_older_than_the_window_is_forgotten_and_memory_is_bounded():
    breaker = Breaker(BreakerSettings(in_a_row=1000))
    feed(breaker, "xxxxxxxxx")
    assert breaker.state(feed(breaker, "x", start_s=320)) is CLOSED
    feed(breaker, "." * 5000, start_s=400)
    assert len(breaker._slices) <= SLICES + 1


def test_one_probe_after_thirty_seconds_decides():
    breaker = Breaker(BreakerSettings())
    now_s = feed(breaker, "x" * 10)
    assert breaker.state(now_s + 29.9) is OPEN
    assert breaker.state(now_s + 30) is HALF_OPEN
    breaker.record(failed=False, probe=False, now_s=now_s + 30)  # sent before it opened
    assert breaker.state(now_s + 30) is HALF_OPEN
    breaker.record(failed=True, probe=True, now_s=now_s + 31)
    assert breaker.state(now_s + 60) is OPEN
    breaker.record(failed=False, probe=True, now_s=now_s + 61)
    assert breaker.state(now_s + 61) is CLOSED
    assert breaker.state(feed(breaker, "x" * 9, start_s=now_s + 62)) is CLOSED
