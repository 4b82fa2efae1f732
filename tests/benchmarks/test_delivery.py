"""The delivery job's own parts, without a broker."""

from __future__ import annotations

import pytest

from app.activation.payload import parse_payload
from benchmarks.bench import Failed
from benchmarks.delivery import job, parked
from benchmarks.delivery.job import Sent
from benchmarks.delivery.worker import PROFILES, id_of, payloads


def test_payloads_are_what_a_sender_reads_and_no_two_are_one() -> None:
    found = [(key, parse_payload(value)) for key, value in payloads("crm", 3)]
    assert [each.id for _, each in found] == [each.call["messageId"] for _, each in found]
    assert [each.id for _, each in found] == [id_of("crm", number) for number in range(3)]
    assert all(key == each.profile.encode() for key, each in found)
    assert len({key for key, _ in payloads("crm", PROFILES + 1)}) == PROFILES


def test_what_waits_for_a_retry_is_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parked, "COUNT", 10_000)
    said = parked.run()
    assert said.startswith("- 10,000 payloads of")
    assert "in 1 lanes" in said


def test_a_round_that_fails_voids_no_other() -> None:
    rounds = [Sent(1_000.0, 200.0, 3 * 1024**2), Failed("did not say 'done'"), Sent(3_000.0, 100.0, 2 * 1024**2)]
    (_, _, row) = job.senders({"one": rounds}).splitlines()
    assert row == "| one | 2,000 (1,000–3,000) | 150 (100–200) | 3 | did not say 'done' |"


def test_p99s_are_compared_with_those_of_nobody_beside() -> None:
    table = job.neighbours({"nobody": [[1.0, 2.0], [4.0]], "down": [[6.0]], "silent": [Failed("ended")]})
    assert table.splitlines()[2:] == [
        "| nobody | 2.5 | 3.0 (2.0–4.0) | 1.00 × | – |",
        "| down | 6.0 | 6.0 | 2.00 × | – |",
        "| silent | – | – | – | ended |",
    ]
