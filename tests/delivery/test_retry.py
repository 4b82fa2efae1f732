"""The waiting and the giving up, as numbers."""

import pytest

from app.delivery.retry import HOUR_S, RetrySettings, delay_s, gives_up, retry_settings
from app.settings import Delivery, Destination, Settings

SETTINGS = RetrySettings()


@pytest.mark.parametrize(
    ("attempts", "ceiling_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (9, 256.0), (10, 300.0), (5000, 300.0)]
)
def test_the_delay_is_uniform_below_a_doubling_ceiling(attempts, ceiling_s):
    for jitter in (0.0, 0.25, 0.999):
        found = delay_s(SETTINGS, attempts=attempts, after_s=None, jitter=jitter)
        assert found == pytest.approx(jitter * ceiling_s)


def test_what_the_vendor_asks_for_counts_up_to_an_hour():
    assert delay_s(SETTINGS, attempts=1, after_s=7, jitter=0.9) == 7
    assert delay_s(SETTINGS, attempts=9, after_s=7, jitter=0.5) == 128
    assert delay_s(SETTINGS, attempts=1, after_s=1e9, jitter=0.9) == HOUR_S


@pytest.mark.parametrize(
    ("attempts", "trying_s", "given_up"),
    [(3, 4 * HOUR_S, True), (2, 9 * HOUR_S, False), (99, 4 * HOUR_S - 1, False), (4, 5 * HOUR_S, True)],
)
def test_given_up_after_four_hours_and_three_attempts(attempts, trying_s, given_up):
    assert gives_up(SETTINGS, attempts=attempts, trying_s=trying_s) is given_up


def test_a_destinations_own_patience_goes_before_what_holds_for_all():
    crm, mail = Destination("crm", "webhook"), Destination("mail", "webhook", give_up_after_s=900.0)
    now = Destination("now", "webhook", give_up_after_s=0.0)
    settings = Settings(destinations=(crm, mail, now), delivery=Delivery(give_up_after_s=60.0, attempts_min=5))
    found = [retry_settings(settings, name) for name in ("crm", "mail", "now")]
    assert [(each.give_up_after_s, each.attempts_min) for each in found] == [(60.0, 5), (900.0, 5), (0.0, 5)]
    assert retry_settings(Settings(destinations=(crm,)), "crm") == RetrySettings()
