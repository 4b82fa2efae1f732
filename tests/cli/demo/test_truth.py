"""The demo's own book-keeping says what the oracle says, and no delay within the margin changes a sequence."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import TypeVar

import pytest

from app.cli.demo.sample import SAMPLES, WINDOW_MS_MAX
from app.cli.demo.shop import DELAY_MS_MAX, Plan, Sent, plan
from app.cli.demo.truth import finals_of, truth_of
from tests.oracle.check import differences, final_differences
from tests.oracle.language import define
from tests.oracle.profiles import Record
from tests.oracle.timeline import Timeline, simulate

T = TypeVar("T")
START_MS = 1_767_225_600_000
SECONDS = 32
DEFINITIONS = [
    define(sample.key, sample.kind, "USERS", sample.query, sample.include_anonymous_users) for sample in SAMPLES
]


def _planned(seed: int) -> Plan:
    return plan(seed=seed, rate=24, seconds=SECONDS)


def _oracle(arrivals: Sequence[tuple[int, Sent]]) -> Timeline:
    """Identity is the simple rule for now: a message with a userId says nothing about its anonymousId."""
    records = []
    for at_ms, sent in arrivals:
        message = sent.stamped(START_MS)
        if "userId" in message:
            del message["anonymousId"]
        records.append(Record(START_MS + at_ms, message))
    return simulate(DEFINITIONS, records, START_MS + SECONDS * 1_000 + DELAY_MS_MAX + 5_000 + WINDOW_MS_MAX)


def _by_who(timeline: Timeline, found: Mapping[str, T]) -> dict[str, T]:
    names = {subject: next(i for i in held if "email" not in i) for subject, held in timeline.identifiers.items()}
    return {names[subject]: values for subject, values in found.items()}


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_equals_the_oracle(seed: int) -> None:
    planned = _planned(seed)
    timeline = _oracle([(sent.at_ms, sent) for sent in planned.sent])
    truth = truth_of(planned.sent)
    assert not timeline.merges
    expected = _by_who(timeline, timeline.changes)
    assert sum(len(flips) for changes in truth.values() for flips in changes.values()) > 200
    for who in {*expected, *truth}:
        wanted = {key: [(at.at_ms - START_MS, at.value) for at in made] for key, made in expected[who].items()}
        got = {key: [(flip.at_ms, flip.value) for flip in flips] for key, flips in truth[who].items()}
        assert got == wanted, who
    finals = {
        who: {sample.key: False for sample in SAMPLES if sample.kind == "audience"} | values
        for who, values in finals_of(truth).items()
    }
    changed = {who: values for who, values in _by_who(timeline, timeline.finals).items() if who in finals}
    assert not final_differences(changed, finals)


@pytest.mark.parametrize(("seed", "least_ms"), [(0, 0), (1, 0), (2, DELAY_MS_MAX - 1)])
def test_delays_change_no_sequence(seed: int, least_ms: int) -> None:
    """Each record arrives some seconds late, those of one person in order: what a busy machine does."""
    planned, random = _planned(seed), Random(seed)
    last_ms: dict[str, int] = {}
    arrivals = []
    for sent in planned.sent:
        at_ms = max(sent.at_ms + random.randrange(least_ms, DELAY_MS_MAX), last_ms.get(sent.who, 0))
        last_ms[sent.who] = at_ms
        arrivals.append((at_ms, sent))
    arrivals.sort(key=lambda arrival: arrival[0])
    timeline = _oracle(arrivals)
    truth = truth_of(planned.sent)
    got = {who: {key: [flip.value for flip in flips] for key, flips in found.items()} for who, found in truth.items()}
    assert not differences(_by_who(timeline, timeline.emitted()), got)


@pytest.mark.parametrize("seed", range(3))
def test_the_demo_has_all_it_promises(seed: int) -> None:
    truth = truth_of(plan(seed=seed, rate=120, seconds=45).sent)
    both_ways = {"looking_around", "cart_waiting", "cart_activity"}
    for sample in SAMPLES:
        flips = [flip for changes in truth.values() for flip in changes.get(sample.key, ())]
        assert len(flips) >= 5, sample.key
        assert any(flip.by_time for flip in flips) == (sample.key in both_ways), sample.key
    left = [changes["looking_around"][-1] for changes in truth.values() if "looking_around" in changes]
    assert all(flip.value is False and flip.by_time for flip in left)
