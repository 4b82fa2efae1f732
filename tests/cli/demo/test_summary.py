"""The summary holds what happened against the truth: each planted fault is found and named."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from app.cli.demo.board import Latency
from app.cli.demo.log_reader import DeadLetter
from app.cli.demo.receiver import Received
from app.cli.demo.shop import plan
from app.cli.demo.summary import Outcome, expected_changes, expected_deliveries, summary_of
from app.cli.demo.truth import truth_of

PLAN = plan(seed=11, rate=40, seconds=20)
TRUTH = truth_of(PLAN.sent)
LATENCY = Latency(1, 2, 3, 4)


def _perfect() -> Outcome:
    received = Received()
    received.values.update({place: list(values) for place, values in expected_deliveries(TRUTH).items()})
    broken = [each.value for each in PLAN.broken]
    return Outcome(
        truth=TRUTH,
        broken=broken,
        sent_count=100,
        acked_count=100,
        in_time_count=100,
        received=received,
        changes={(who, key): values for (who, key, _), values in expected_changes(TRUTH).items()},
        dead=[DeadLetter(original, "not_json: cut") for original in reversed(broken)],
        latency=LATENCY,
        lateness=LATENCY,
        wall_s=12.34,
    )


def _longest(values: Mapping[tuple[str, str, str], Sequence[object]]) -> tuple[str, str, str]:
    return max(values, key=lambda place: (len(set(map(str, values[place]))), place))


def _faults(outcome: Outcome) -> dict[str, tuple[str, ...]]:
    return {check.name: check.differences for check in summary_of(outcome).checks if not check.is_kept}


def test_what_equals_the_truth_is_equal() -> None:
    summary = summary_of(_perfect())
    assert summary.is_equal
    assert summary.as_json()["ok"] is True
    assert summary.figures.changes == sum(map(len, expected_changes(TRUTH).values()))


def _lose_one(values: list[object]) -> None:
    values.pop()


def _add_one(values: list[object]) -> None:
    values.append("more")


def _swap_two(values: list[object]) -> None:
    values[0], values[1] = values[1], values[0]


def _change_one(values: list[object]) -> None:
    values[0] = "other"


@pytest.mark.parametrize(
    ("plant", "kind"),
    [(_lose_one, "missing"), (_add_one, "unexpected"), (_swap_two, "out of order"), (_change_one, "wrong")],
)
def test_a_planted_fault_in_what_was_delivered_is_named(plant: Callable[[list[object]], None], kind: str) -> None:
    outcome = _perfect()
    place = _longest(outcome.received.values)
    plant(outcome.received.values[place])
    faults = _faults(outcome)
    assert list(faults) == ["changes delivered, in order"]
    (line,) = faults["changes delivered, in order"]
    assert line.startswith(f"{kind}: {place[0]} {place[1]} ({place[2]}), change ")


def test_true_is_not_one() -> None:
    outcome = _perfect()
    place = next(place for place, values in outcome.received.values.items() if values[0] is True)
    outcome.received.values[place][0] = 1
    assert _faults(outcome)


def test_a_change_of_somebody_unknown_is_unexpected() -> None:
    outcome = _perfect()
    outcome.received.values["user_id:nobody", "vip", "identify"] = [True]
    (line,) = _faults(outcome)["changes delivered, in order"]
    assert line.startswith("unexpected: user_id:nobody vip")


def test_a_change_missing_from_the_log_is_named() -> None:
    outcome = _perfect()
    changes = dict(outcome.changes)
    changes.popitem()
    assert list(_faults(replace(outcome, changes=changes))) == ["changes in the log, in order"]


def test_dead_letters_must_be_the_broken_records_once_each() -> None:
    outcome = _perfect()
    name = "records that are no events, in events.dead once"
    assert _faults(replace(outcome, dead=outcome.dead[1:]))[name][0].startswith("missing: ")
    assert _faults(replace(outcome, dead=[*outcome.dead, outcome.dead[0]]))[name][0].startswith("unexpected: ")
    lines = _faults(replace(outcome, dead=[*outcome.dead[1:], DeadLetter(b"another", "failed: a fault")]))[name]
    assert lines[-1] == "unexpected: failed: a fault; b'another'"


def test_a_forged_signature_an_unreadable_call_and_a_lost_ack_fail_the_demo() -> None:
    forged, unreadable = _perfect(), _perfect()
    forged.received.forged_count = 1
    unreadable.received.unreadable_count = 1
    late = replace(_perfect(), in_time_count=99)
    for outcome in (forged, unreadable, late, replace(_perfect(), acked_count=99)):
        assert not summary_of(outcome).is_equal


def test_of_many_differences_the_first_are_shown() -> None:
    outcome = _perfect()
    outcome.received.values.clear()
    lines = _faults(outcome)["changes delivered, in order"]
    assert len(lines) == 11
    assert lines[-1].startswith("… and ")
