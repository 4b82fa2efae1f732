"""The closing summary: figures checked against the truth, and the first differences where they are not equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from app.cli.demo.board import Latency
from app.cli.demo.log_reader import DeadLetter
from app.cli.demo.receiver import Place, Received
from app.cli.demo.sample import CALLS
from app.cli.demo.truth import Truth

_SHOWN_MAX = 10
Values = Mapping[Place, Sequence[object]]
Kind = Literal["missing", "unexpected", "out of order", "wrong"]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two sequences part; what comes after it is usually a consequence."""

    kind: Kind
    place: Place
    position: int
    """From 0."""
    expected: object
    """None where nothing was expected."""
    found: object
    """None where nothing was found."""

    def __str__(self) -> str:
        who, key, call = self.place
        return f"{self.kind}: {who} {key} ({call}), change {self.position}: expected {self.expected}, got {self.found}"


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the demo."""

    name: str
    expected_count: int
    found_count: int
    differences: tuple[str, ...] = ()
    """The first ones, in words."""

    @property
    def is_kept(self) -> bool:
        return self.expected_count == self.found_count and not self.differences


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that is known when the demo is over."""

    truth: Truth
    broken: Sequence[bytes | None]
    """The records that were no events."""
    sent_count: int
    """Records that were to be sent."""
    acked_count: int
    """Records that the broker has confirmed."""
    in_time_count: int
    """Of these, the ones that were confirmed before the truth could have become another."""
    received: Received
    changes: Mapping[tuple[str, str], Sequence[object]]
    """(who, definition's key) → values on the `changes` topic, repeats left out."""
    dead: Sequence[DeadLetter]
    """What is on `events.dead`."""
    latency: Latency
    lateness: Latency
    """Of the changes by time alone: how late they were, delivery included."""
    wall_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What is worth knowing beside the checks. Counts, but for the last three."""

    profiles: int
    """That anything changed for."""
    became_known: int
    """Of these, the ones that were anonymous first."""
    merged: int
    """Profiles that became part of another."""
    changes: int
    changes_by_time_alone: int
    told_again: int
    """Values that were no change, told to a user id or an e-mail address that was new."""
    requests: int
    """To the receiver."""
    retried: int
    """Turned away by its script, so sent again."""
    repeats_dropped: int
    latency: Latency
    """From an event's sending to the delivery of what it changed."""
    lateness: Latency
    """From the instant at which time changed something to its delivery."""
    wall_s: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The checks and the figures beside them."""

    checks: tuple[Check, ...]
    figures: Figures

    @property
    def is_equal(self) -> bool:
        """Whether everything was as the truth has it; else the demo has failed."""
        return all(check.is_kept for check in self.checks)

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        checks = [{**asdict(check), "kept": check.is_kept} for check in self.checks]
        return {"ok": self.is_equal, "checks": checks, "figures": asdict(self.figures)}


def summary_of(outcome: Outcome) -> Summary:
    """Compare what happened with what had to happen."""
    received = outcome.received
    due = expected_deliveries(outcome.truth)
    in_log = {(who, key, "log"): values for (who, key), values in outcome.changes.items()}
    checks = (
        Check("records acknowledged by the broker", outcome.sent_count, outcome.acked_count),
        Check("records sent in time (else the machine is too busy)", outcome.acked_count, outcome.in_time_count),
        _sequences("changes in the log, in order", expected_changes(outcome.truth), in_log),
        _sequences("changes delivered, in order", due, received.values),
        Check("deliveries with a wrong signature", 0, received.forged_count),
        Check("deliveries that are no calls", 0, received.unreadable_count),
        _dead("records that are no events, in events.dead once", outcome.broken, outcome.dead),
    )
    return Summary(checks, _figures(outcome))


def expected_changes(truth: Truth) -> dict[Place, list[object]]:
    """The sequences that the `changes` topic must hold."""
    found: dict[Place, list[object]] = {
        (who, key, "log"): [flip.value for flip in flips if flip.is_change]
        for who, told in truth.told.items()
        for key, flips in told.items()
    }
    return {place: values for place, values in found.items() if values}


def expected_deliveries(truth: Truth) -> dict[Place, list[object]]:
    """The sequences that the receiver must get: each value once by each call of its connection."""
    return {
        (who, key, call): [flip.value for flip in flips]
        for who, told in truth.told.items()
        for key, flips in told.items()
        for call in CALLS[key]
    }


def differences(expected: Values, found: Values) -> list[Difference]:
    """Where the sequences part, at most once per place, in the order of places."""
    results = []
    for place in sorted({*expected, *found}):
        first = _first_difference(place, expected.get(place, ()), found.get(place, ()))
        if first is not None:
            results.append(first)
    return results


def _first_difference(place: Place, expected: Sequence[object], found: Sequence[object]) -> Difference | None:
    for position, (wanted, got) in enumerate(zip(expected, found, strict=False)):
        if not _same(wanted, got):
            same_values = Counter(map(repr, expected)) == Counter(map(repr, found))
            return Difference("out of order" if same_values else "wrong", place, position, wanted, got)
    at = min(len(expected), len(found))
    if len(expected) > at:
        return Difference("missing", place, at, expected[at], None)
    if len(found) > at:
        return Difference("unexpected", place, at, None, found[at])
    return None


def _same(wanted: object, got: object) -> bool:
    """1 and 1.0 are the same value, 1 and true are not."""
    return wanted == got and isinstance(wanted, bool) == isinstance(got, bool)


def _sequences(name: str, expected: Values, found: Values) -> Check:
    parted = differences(expected, found)
    return Check(
        name,
        sum(map(len, expected.values())),
        sum(map(len, found.values())),
        _shown(map(str, parted)),
    )


def _dead(name: str, broken: Iterable[bytes | None], dead: Sequence[DeadLetter]) -> Check:
    missing = Counter(broken)
    wanted_count = missing.total()
    unexpected = []
    for letter in dead:
        if missing[letter.original] > 0:
            missing[letter.original] -= 1
        else:
            unexpected.append(f"unexpected: {letter.why}; {letter.original!r:.80}")
    parted = [f"missing: {original!r:.80}" for original in missing.elements()]
    return Check(name, wanted_count, len(dead), _shown([*parted, *unexpected]))


def _shown(lines: Iterable[str]) -> tuple[str, ...]:
    every = list(lines)
    more = [f"… and {len(every) - _SHOWN_MAX} more"] if len(every) > _SHOWN_MAX else []
    return (*every[:_SHOWN_MAX], *more)


def _figures(outcome: Outcome) -> Figures:
    received, truth = outcome.received, outcome.truth
    flips = list(truth.flips())
    changes_count = sum(flip.is_change for flip in flips)
    return Figures(
        profiles=truth.profiles_count,
        became_known=truth.known_count,
        merged=truth.merged_count,
        changes=changes_count,
        changes_by_time_alone=sum(flip.by_time for flip in flips),
        told_again=len(flips) - changes_count,
        requests=received.requests_count,
        retried=received.turned_away_count,
        repeats_dropped=received.repeats_count,
        latency=outcome.latency,
        lateness=outcome.lateness,
        wall_s=round(outcome.wall_s, 1),
    )
