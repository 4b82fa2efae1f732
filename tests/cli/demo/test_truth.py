"""The demo's own book-keeping says what the oracle says, and no delay within the margin changes a sequence.

The oracle knows profiles and not how they are addressed: there, what was told of a profile by either name is one
sequence. A profile that became part of another stays by itself, as the oracle has it.
"""

from collections import defaultdict
from collections.abc import Sequence
from random import Random

import pytest

from app.cli.demo.sample import SAMPLES, WINDOW_MS_MAX
from app.cli.demo.shop import DELAY_MS_MAX, Plan, Sent, plan
from app.cli.demo.truth import Flip, Truth, truth_of
from tests.oracle.check import differences, final_differences
from tests.oracle.language import define
from tests.oracle.profiles import Record
from tests.oracle.timeline import Timeline, simulate

START_MS = 1_767_225_600_000
SECONDS = 36
DEFINITIONS = [
    define(sample.key, sample.kind, "USERS", sample.query, sample.include_anonymous_users) for sample in SAMPLES
]


def _planned(seed: int) -> Plan:
    return plan(seed=seed, rate=24, seconds=SECONDS)


def _oracle(arrivals: Sequence[tuple[int, Sent]]) -> Timeline:
    records = [Record(START_MS + at_ms, sent.stamped(START_MS)) for at_ms, sent in arrivals]
    return simulate(DEFINITIONS, records, START_MS + SECONDS * 1_000 + DELAY_MS_MAX + 5_000 + WINDOW_MS_MAX)


def _subjects(timeline: Timeline) -> dict[str, str]:
    """Who → the oracle's profile. Those that were merged away are a visitor's second device, here."""
    owners = {each: subject for subject, held in timeline.identifiers.items() for each in held}
    losers = {merge.winner: merge.losers for merge in timeline.merges}
    for who, subject in [*owners.items()]:
        if who.startswith("anonymous_id:") and who.endswith("-2") and subject in losers:
            (owners[who],) = losers[subject]
    return owners


def _by_subject(truth: Truth, timeline: Timeline) -> dict[str, dict[str, list[Flip]]]:
    """Changes only, in order of time."""
    owners = _subjects(timeline)
    found: dict[str, dict[str, list[Flip]]] = defaultdict(lambda: defaultdict(list))
    for who, told in truth.told.items():
        for key, flips in told.items():
            if changes := [flip for flip in flips if flip.is_change]:
                found[owners[who]][key] += changes
    for by_key in found.values():
        for flips in by_key.values():
            flips.sort(key=lambda flip: flip.at_ms)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_equals_the_oracle(seed: int) -> None:
    planned = _planned(seed)
    timeline = _oracle([(sent.at_ms, sent) for sent in planned.sent])
    truth = truth_of(planned.sent)
    assert truth.merged_count == len(timeline.merges) > 2
    assert truth.known_count > 10
    found = _by_subject(truth, timeline)
    assert sum(len(flips) for by_key in found.values() for flips in by_key.values()) > 200
    for subject in {*timeline.changes, *found}:
        made = timeline.changes.get(subject, {})
        wanted = {key: [(at.at_ms - START_MS, at.value) for at in changes] for key, changes in made.items()}
        got = {key: [(flip.at_ms, flip.value) for flip in flips] for key, flips in found[subject].items()}
        assert got == wanted, subject
    finals = {
        subject: {sample.key: False for sample in SAMPLES if sample.kind == "audience"}
        | {key: flips[-1].value for key, flips in by_key.items()}
        for subject, by_key in found.items()
        if subject in timeline.finals
    }
    assert not final_differences({subject: timeline.finals[subject] for subject in finals}, finals)


@pytest.mark.parametrize("seed", range(3))
def test_whoever_is_new_is_told_all_that_is_so(seed: int) -> None:
    """Nobody is left believing what has been said to an anonymous id alone."""
    truth = truth_of(plan(seed=seed, rate=80, seconds=40).sent)
    told_again = [flip for flip in truth.flips() if not flip.is_change]
    assert len(told_again) > 20
    assert not [flip for flip in told_again if flip.by_time or flip.value is False]
    for who, before in truth.before.items():
        assert who.startswith("user_id:")
        assert all(each.startswith("anonymous_id:") for each in before)
        heard = truth.told.get(who, {})
        for key, flips in [each for name in before for each in truth.told.get(name, {}).items()]:
            assert flips[-1].value is False or heard[key][-1].at_ms >= flips[-1].at_ms


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
    got = {
        subject: {key: [flip.value for flip in flips] for key, flips in by_key.items()}
        for subject, by_key in _by_subject(truth, timeline).items()
    }
    assert not differences(timeline.emitted(), got)


@pytest.mark.parametrize("seed", range(3))
def test_the_demo_has_all_it_promises(seed: int) -> None:
    truth = truth_of(plan(seed=seed, rate=120, seconds=45).sent)
    both_ways = {"looking_around", "cart_waiting", "cart_activity"}
    for sample in SAMPLES:
        flips = [flip for told in truth.told.values() for flip in told.get(sample.key, ()) if flip.is_change]
        assert len(flips) >= 5, sample.key
        assert any(flip.by_time for flip in flips) == (sample.key in both_ways), sample.key
    gone = {each for before in truth.before.values() for each in before}
    left = [
        told["looking_around"][-1] for who, told in truth.told.items() if "looking_around" in told and who not in gone
    ]
    assert all(flip.value is False and flip.by_time for flip in left)
