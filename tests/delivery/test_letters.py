"""Dead letters as they are read again."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.activation.outcome import Reason, Response
from app.delivery.dead_letter import Evidence, Position, dead_letter, position_headers
from app.delivery.letters import Filter, Letter, in_order, read_letter, subject
from tests.delivery.records import record

AT_MS = 1_767_225_600_000


def letter(
    offset: int = 0,
    profile: str = "ann",
    *,
    reason: Reason = Reason.REFUSED,
    status: int = 422,
    at_ms: int = AT_MS,
    **call: Any,
) -> Letter:
    one = record(offset, profile, **call)
    value = dead_letter(
        one.value, reason=reason, message="no", attempts=1, at_ms=at_ms, evidence=Evidence(answer=Response(status)),
        secrets=(),
    )  # fmt: skip
    source = Position("destinations.crm", 1, offset)
    headers = position_headers(source, reason)
    found = read_letter("crm", at=Position("destinations.crm.dead", 0, 9), key=one.key, value=value, headers=headers)
    assert found is not None
    return found


def test_a_letter_knows_whose_it_is_and_what_was_in_the_topic():
    found = letter(3)
    assert (found.id, found.profile, found.reason, found.status, found.sequence) == ("ann-3", "ann", "refused", 422, 3)
    assert (found.source.partition, found.source.offset, found.at) == (1, 3, "2026-01-01T00:00:00.000Z")
    assert found.again is not None
    assert orjson.loads(found.again) == orjson.loads(record(3, "ann").value or b"")
    assert found.mark == b"destinations.crm/1/3/ann-3"
    assert found.shown()["offset"] == 3


def test_what_could_not_be_read_goes_again_as_it_was_if_all_of_it_was_kept():
    def of(original: bytes) -> Letter:
        value = dead_letter(
            original, reason=Reason.UNREADABLE, message="no", attempts=0, at_ms=AT_MS, evidence=Evidence(), secrets=()
        )
        found = read_letter("crm", at=Position("x", 0, 9), key=b"k", value=value, headers=())
        assert found is not None
        return found

    assert of(b"{no json").again == b"{no json"
    assert of(b"{" * 100_000).again is None
    assert of(b"{no json").mark == b"x/0/9/"  # without headers of ours it is named by its own place


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{}", b'{"error": 1}', b"\xff"])
def test_what_nobody_of_us_wrote_is_no_letter(value):
    assert read_letter("crm", at=Position("x", 0, 0), key=None, value=value, headers=()) is None


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Filter(), True),
        (Filter(reasons=frozenset({"refused", "expired"})), True),
        (Filter(reasons=frozenset({"expired"})), False),
        (Filter(statuses=frozenset({422})), True),
        (Filter(statuses=frozenset({400})), False),
        (Filter(profile="ann"), True),
        (Filter(profile="ann@example.com"), True),
        (Filter(profile="bob"), False),
        (Filter(since_ms=AT_MS, until_ms=AT_MS + 1), True),
        (Filter(since_ms=AT_MS + 1), False),
        (Filter(until_ms=AT_MS), False),
        (Filter(profile="ann", statuses=frozenset({400})), False),
    ],
)
def test_filters(wanted, taken):
    assert wanted.takes(letter(traits={"vip": True, "email": "ann@example.com"})) is taken


def test_one_profiles_letters_go_as_its_changes_came():
    letters = [letter(5), letter(2), letter(9, "bob"), letter(3)]
    assert [each.source.offset for each in in_order(letters)] == [2, 3, 5, 9]


def test_two_payloads_tell_of_the_same_only_if_it_is_the_same_call_to_the_same_address():
    def of(**call: Any) -> tuple[object, ...]:
        return subject(orjson.loads(record(0, "ann", **call).value or b""))

    mail = {"vip": True, "email": "a@example.com"}
    track = {"type": "track", "context": {"traits": {"email": "a@example.com"}}}
    assert of() == of(traits={"vip": False})
    assert len({of(), of(traits=mail), of(type="track"), of(**track), of(userId="other")}) == 5
