"""How long a vendor asks to be left alone."""

from email.utils import formatdate

import pytest

from app.activation.outcome import Failure, Pause, Reason, Retry, by_failure, retry_after_s

NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "after_s"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("999999999", 999_999_999.0),
        (formatdate(NOW_S + 90, usegmt=True), 90.0),
        (formatdate(NOW_S + 90), 90.0),
        ("Tue, 14 Nov 2023 23:13:20 +0100", 0.0),
        (formatdate(NOW_S - 1, usegmt=True), None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("Tue, 99 Nov 2023 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_nothing_else(text, after_s):
    assert retry_after_s({"retry-after": text}, NOW_S) == after_s


def test_silence_is_retried_but_a_refused_address_pauses():
    assert by_failure(Failure(Reason.TIMEOUT, "")) == Retry(Reason.TIMEOUT)
    assert by_failure(Failure(Reason.ADDRESS_REFUSED, "")) == Pause(Reason.ADDRESS_REFUSED)
