"""Ids must be what they say: other systems compute them too."""

from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st

from app.ids import MESSAGE_NAMESPACE, derived_id, message_id


@given(st.text(), st.text())
def test_derived_ids_are_version_5_uuids(message: str, part: str) -> None:
    expected = uuid5(MESSAGE_NAMESPACE, f"{message}|{part}".encode("utf-8", "replace").decode())
    if (message + part).isprintable():
        assert derived_id(message, part) == str(expected)


def test_every_part_of_a_message_id_matters() -> None:
    base = ("epoch", "profiles.in", 1, 2, "aud_1", "v1", "prf_1", "entered:1")
    other = ("epoch2", "profiles.out", 3, 4, "aud_2", "v2", "prf_2", "exited:1")
    ids = {message_id(*base)} | {message_id(*base[:at], other[at], *base[at + 1 :]) for at in range(len(base))}  # type: ignore[arg-type]
    assert len(ids) == len(base) + 1
