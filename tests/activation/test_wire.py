"""Instants and values as they leave."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.activation.wire import INSTANT_MS_MAX, encode, iso


@given(st.integers(0, INSTANT_MS_MAX))
def test_an_instant_reads_back_exactly(at_ms):
    text = iso(at_ms)
    assert len(text) == 24
    read = datetime.fromisoformat(text)
    assert (read - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000 == at_ms or round(
        (read - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000
    ) == at_ms


def test_instants_that_cannot_be_written_become_the_nearest():
    assert iso(-5) == "1970-01-01T00:00:00.000Z"
    assert iso(10**20) == "9999-12-31T23:59:59.999Z"
    assert iso(1_769_853_600_007) == "2026-01-31T10:00:00.007Z"


def test_ordinary_values_are_plain_json():
    assert encode({"a": [1, 2.5, None, True, "é"]}) == '{"a":[1,2.5,null,true,"é"]}'.encode()
