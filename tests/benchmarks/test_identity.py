"""The identity job's own parts, without a broker."""

from __future__ import annotations

import orjson
import pytest

from app.cli.demo.command import RATE_PER_S
from app.observability.catalogue import EVENTS, LAG, LINKED, STAGE_SECONDS
from app.observability.metrics import Metrics
from app.topics import Topics
from benchmarks.bench import Failed
from benchmarks.identity import LIVE, STRANGERS, WAITING, Ran, Sample, messages_of, ran, report, sample

TOPICS = Topics("bench-")


def test_a_sample_is_read_from_what_the_worker_exposes() -> None:
    metrics = Metrics("stream")
    for topic, records in (("events.raw", 100), ("identity.links", 40), ("profiles.in", 97)):
        metrics[EVENTS].labels(f"bench-{topic}").inc(records)
    metrics[LINKED].inc(39)
    for stage, seconds in (("compute", 0.5), ("outputs", 1.0)):
        metrics[STAGE_SECONDS].labels("bench-identity.links", stage).observe(seconds)
    metrics[STAGE_SECONDS].labels("bench-profiles.in", "compute").observe(9.0)
    for partition in ("0", "1"):
        metrics[LAG].labels("bench-profiles.in", partition).set(3)
    found = sample(metrics.exposition().decode(), TOPICS, at_s=7.0, cpu_s=2.0)
    assert found == Sample(7.0, 2.0, resolved=100, linked=39, decided=40, deciding_s=1.5, computed=97, lag=6)


def test_the_clock_runs_from_before_a_fifth_until_nothing_moves() -> None:
    steps = [(0.0, 0, 0), (1.0, 100, 0), (2.0, 300, 50), (3.0, 1_000, 700), (5.0, 1_000, 990), (9.0, 1_000, 990)]
    samples = [
        Sample(at_s, at_s * 2, resolved, resolved / 4, resolved / 2, at_s / 10, computed, lag=0)
        for at_s, resolved, computed in steps
    ]
    assert ran(samples, 1_000) == Ran(
        1_000, per_s=225.0, cpu_us=pytest.approx(8e6 / 900), slow_share=0.25, decisions_per_s=1_000.0
    )


def test_streams_have_messages_at_the_demos_rate_and_strangers_are_all_different() -> None:
    demo, strangers = messages_of(WAITING, 7, 2_400, 0), messages_of(STRANGERS, 7, 2_400, 0)
    assert demo == messages_of(LIVE, 7, 2_400, 0)
    assert len(demo) == pytest.approx(2_400, rel=0.1)
    assert len({orjson.loads(value or b"")["anonymousId"] for _, _, value in strangers}) == len(strangers) == 2_400
    assert strangers[-1][0] == pytest.approx(2_400 / RATE_PER_S * 1_000, rel=0.01)


def test_a_round_that_fails_voids_no_other() -> None:
    rounds = [Ran(100, 1_000.0, 200.0, 0.5, 4_000.0), Failed("ended"), Ran(100, 3_000.0, 100.0, 0.25, 2_000.0)]
    (_, _, row) = report({WAITING: rounds}).splitlines()
    assert row.endswith(
        "| 100 | 2,000 (1,000–3,000) | 150 (100–200) | 37.5 (25.0–50.0) | 3,000 (2,000–4,000) | ended |"
    )
