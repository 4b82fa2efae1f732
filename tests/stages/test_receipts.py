"""How far a regulation is, by the parts of its receipt, in whatever order they come."""

from __future__ import annotations

from itertools import permutations

from app.identity.regulations import RegulationType
from app.stages import regulations
from app.stages.receipts import Receipt, State, receipts
from app.stages.regulations import Decided, Erased, Failed, Part, Requested, Settled

BOTH = RegulationType.SUPPRESS_WITH_DELETE
REQUESTED = Requested("reg_1", BOTH, 5, "aa")
DECIDED = Decided("reg_1", BOTH, 5, suppressed=2, erased=2, profiles=["prf_1", "prf_2"])
FIRST = Erased("reg_1", "prf_1", 0, identifiers=2, asked={"crm": 2, "mail": 1}, told=["lake"])
SECOND = Erased("reg_1", "prf_2", 1, redirect=True)


def settled(number: int, destination: str, outcome: regulations.SettledOutcome = "delivered") -> Settled:
    return Settled("reg_1", f"p{number}", "prf_1", destination, outcome)


def state(*parts: Part) -> State:
    found = Receipt("reg_1")
    for part in parts:
        found.take(part)
    return found.state


def test_from_the_asking_to_the_end() -> None:
    parts: list[Part] = [REQUESTED]
    assert state(*parts) is State.INITIALIZED
    parts.append(DECIDED)
    assert state(*parts) is State.RUNNING
    parts += [FIRST, SECOND]
    assert state(*parts) is State.RUNNING, "the destinations have not said anything"
    parts += [settled(1, "crm"), settled(2, "mail", "not_supported")]
    assert state(*parts) is State.RUNNING, "of two deletions one is open"
    parts += [settled(1, "crm")]
    assert state(*parts) is State.RUNNING, "the same said twice is one"
    parts += [settled(3, "crm", "no_identifier")]
    assert state(*parts) is State.FINISHED
    for some in permutations(parts[1:], 3):
        assert state(*some, *parts) is State.FINISHED


def test_a_vendor_that_refuses_makes_it_a_part() -> None:
    end = [settled(1, "crm"), settled(2, "mail", "refused"), settled(3, "crm")]
    assert state(DECIDED, FIRST, SECOND, *end) is State.PARTIAL_SUCCESS
    # A dead letter that is tried again has the same payload.
    assert state(DECIDED, FIRST, SECOND, *end, settled(2, "mail")) is State.FINISHED


def test_what_cannot_be_erased_fails() -> None:
    assert state(DECIDED, FIRST, Failed("reg_1", "prf_2", "KeyError")) is State.FAILED


def test_what_only_suppresses_is_finished_when_it_is_decided() -> None:
    assert state(Decided("reg_1", RegulationType.SUPPRESS_ONLY, 5, suppressed=1)) is State.FINISHED


def test_records_are_read_back_and_others_passed_over() -> None:
    parts: list[Part] = [REQUESTED, DECIDED, FIRST, SECOND, settled(1, "crm"), Failed("reg_2", "prf_3", "KeyError")]
    values = [regulations.record(part)[1] for part in parts]
    found = receipts([None, b"{", *values, b'{"kind":"else"}'])
    assert list(found) == ["reg_1", "reg_2"]
    assert (found["reg_1"].requested, found["reg_1"].decided, found["reg_1"].erased) == (
        REQUESTED, DECIDED, [FIRST, SECOND]
    )  # fmt: skip
    assert len({regulations.key(part) for part in parts}) == len(parts)
