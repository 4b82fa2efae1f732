"""Each kind of cell against a list of all events: in any order of arrival, over any time, through bytes and back."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.profiles import codec
from app.profiles.aggregates import Counted, Extreme, Summed, Texts
from app.profiles.cells import KEPT, ChainKind, Span, level
from app.profiles.sessions import Runs, SessionFacts
from app.profiles.state import Profile
from app.profiles.windows import Count, Peaks, Spanned, Total, WindowCount

many = settings(max_examples=int(os.environ.get("HEADWATER_EXAMPLES", "40")), deadline=None)

WINDOW_MS = 10
NEAR_MS = 4
GAP_MS = 5
CAP = 3
START_MS = 1_000

Taken = Counted | Summed | Texts | Extreme
AGGREGATES: tuple[Taken, ...] = (
    Counted(),
    Summed(),
    Texts(),
    *(Extreme(of, greatest) for of in ("numbers", "texts", "moments") for greatest in (False, True)),
)
EXTREMES = tuple(each for each in AGGREGATES if isinstance(each, Extreme))


@dataclass(frozen=True)
class Case:
    """A kind, and in plain words when an event counts for it."""

    kind: ChainKind
    taken: Taken
    near_ms: int = 0
    far_ms: int | None = None
    gap_ms: int | None = None
    spans: bool = False
    cap: int = 0
    marks: tuple[int, ...] | None = None
    """Of a count: those that its readers tell apart; None for all."""

    def read(self, answer: Any) -> Any:
        """What the cell's readers make of an answer."""
        return answer if self.marks is None else level(self.marks, answer or 0)


def _marked(kind: ChainKind, *marks: int, **window: Any) -> Case:
    return Case(replace(kind, marks=marks), Counted(), marks=marks, **window)  # type: ignore[type-var]


def _timed(taken: Taken, **window: Any) -> Case:
    spans = {} if "spans" in window else window
    if isinstance(taken, Extreme):
        return Case(Peaks(taken, **spans), taken, **window)
    return Case(Spanned(taken, **spans), taken, **window)


CASES = (
    Case(Count(), Counted()),
    Case(WindowCount(WINDOW_MS), Counted(), far_ms=WINDOW_MS),
    Case(WindowCount(WINDOW_MS, CAP), Counted(), far_ms=WINDOW_MS, cap=CAP),
    _marked(WindowCount(WINDOW_MS), 2, far_ms=WINDOW_MS),
    _marked(WindowCount(WINDOW_MS), 1, 2, 4, far_ms=WINDOW_MS),
    _marked(WindowCount(WINDOW_MS, CAP), 1, CAP, far_ms=WINDOW_MS, cap=CAP),
    _marked(WindowCount(WINDOW_MS), far_ms=WINDOW_MS),
    *(Case(Total(taken), taken) for taken in AGGREGATES),
    *(_timed(taken, far_ms=WINDOW_MS) for taken in AGGREGATES),
    *(_timed(taken, near_ms=NEAR_MS, far_ms=WINDOW_MS) for taken in AGGREGATES),
    *(_timed(taken, spans=True) for taken in AGGREGATES),
    *(Case(Runs(taken, GAP_MS), taken, gap_ms=GAP_MS) for taken in AGGREGATES),
    _marked(Runs(Counted(), GAP_MS), 2, gap_ms=GAP_MS),
    _marked(Runs(Counted(), GAP_MS), 1, 3, gap_ms=GAP_MS),
    *(
        Case(SessionFacts(taken, GAP_MS, 0, WINDOW_MS), taken, gap_ms=GAP_MS, far_ms=WINDOW_MS)
        for taken in (Counted(), Summed(), Extreme("moments", True))
    ),
    Case(SessionFacts(Texts(), GAP_MS), Texts(), gap_ms=GAP_MS, spans=True),
)


@dataclass(frozen=True)
class Add:
    """An event arrives now, `late_ms` after it happened."""

    late_ms: int
    numbers: tuple[Decimal, ...]
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    """(delay until it starts to count, for how long; 0 for ever) one after the other."""


@dataclass(frozen=True)
class Pass:
    """Time passes; the cell may be told to drop what is over."""

    ms: int
    advance: bool


@dataclass(frozen=True)
class Reload:
    """Through the codec."""


Step = Add | Pass | Reload

lengths = st.integers(0, 2 * WINDOW_MS)
adds = st.builds(
    Add,
    late_ms=lengths,
    numbers=st.lists(
        st.sampled_from([Decimal(each) for each in ("-1", "0.1", "1", "1.0", "1E3", "7")]), max_size=3
    ).map(tuple),
    words=st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
    spans=st.lists(st.tuples(lengths, lengths), max_size=2).map(tuple),
)
steps = st.lists(adds | st.builds(Pass, ms=lengths, advance=st.booleans()) | st.just(Reload()), max_size=25)


@dataclass
class Everything:
    """The brute force: all events that ever arrived."""

    case: Case
    events: list[tuple[int, list[Span], Sequence[Any]]] = field(default_factory=list)

    def answer(self, now_ms: int) -> Any:
        live = sorted(
            ((at_ms, values) for at_ms, spans, values in self.events if self._counts(at_ms, spans, now_ms)),
            key=lambda event: event[0],
        )
        if self.case.gap_ms is not None:
            live = _latest(live, self.case.gap_ms, now_ms)
        found = _taken(self.case.taken, [value for _, values in live for value in values])
        return min(found, self.case.cap) if found and self.case.cap else found

    def _counts(self, at_ms: int, spans: list[Span], now_ms: int) -> bool:
        if self.case.spans:
            return any(start <= now_ms and (not end or now_ms < end) for start, end in spans)
        far_ms = self.case.far_ms
        return at_ms + self.case.near_ms <= now_ms and (far_ms is None or now_ms < at_ms + far_ms)


def _latest(live: list[Any], gap_ms: int, now_ms: int) -> list[Any]:
    session: list[Any] = []
    for event in live:
        if session and event[0] - session[-1][0] >= gap_ms:
            session = []
        session.append(event)
    return session if session and now_ms - session[-1][0] < gap_ms else []


def _taken(taken: Taken, values: list[Any]) -> Any:
    if not values:
        return None
    match taken:
        case Counted():
            return len(values)
        case Summed():
            return sum(values, Decimal(0)), len(values)
        case Texts():
            return dict(Counter(values))
        case Extreme(_, greatest):
            return sorted(values)[-1 if greatest else 0]


def plain(taken: Taken, total: Any) -> Any:
    """A total as the brute force has it, whether it has just been decoded or not."""
    if total is None or (total == 0 and isinstance(taken, Counted)):
        return None
    match taken:
        case Summed():
            return Decimal(total[0]), total[1]
        case Extreme("numbers"):
            return Decimal(total)
    return total


def observed(taken: Taken, add: Add, at_ms: int, arrival: int) -> Sequence[Any]:
    match taken:
        case Counted():
            return (1,)
        case Summed():
            return add.numbers
        case Texts() | Extreme("texts"):
            return add.words
        case Extreme("numbers"):
            return add.numbers
        case Extreme():
            return [[at_ms, arrival, list(add.words)]] if add.words else ()
    raise AssertionError(taken)


def encoded(cell: Any) -> bytes:
    profile = Profile()
    profile.cells = {"c": cell}
    return codec.encode(profile, 1)


def reloaded(cell: Any) -> Any:
    return codec.decode(encoded(cell)).cells["c"]


def _spans(add: Add, now_ms: int) -> list[Span]:
    """Spans as a condition gives them: in order, apart, and none after one without an end."""
    spans: list[Span] = []
    for delay_ms, length_ms in add.spans:
        start_ms = (spans[-1][1] + 1 if spans else now_ms) + delay_ms
        spans.append((start_ms, start_ms + length_ms if length_ms else 0))
        if not length_ms:
            break
    return spans


def added(case: Case, cell: Any, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Any]) -> Any:
    """The cell with an event. Where it is only kept, nobody is asked anew, and no timer is armed anew."""
    before = case.read(plain(case.taken, case.kind.answer(cell, now_ms)))
    due_ms = case.kind.next_flip_ms(cell, now_ms) if cell is not None else 0
    filled = case.kind.add(cell, at_ms, now_ms, spans, values)
    if filled is not KEPT:
        return stored(cell, filled)
    assert case.read(plain(case.taken, case.kind.answer(cell, now_ms))) == before
    later_ms = case.kind.next_flip_ms(cell, now_ms)
    assert later_ms == 0 or 0 < due_ms <= later_ms
    return cell


def stored(cell: Any, filled: Any) -> Any:
    """What is stored after `add`."""
    return cell if filled is None or filled is KEPT else filled


def run(case: Case, script: Sequence[Step], *, reload: bool) -> tuple[Any, Everything, int]:
    """The cell after some steps, each of which is checked; all events; and now."""
    everything, cell, now_ms = Everything(case), None, START_MS
    for arrival, step in enumerate(script):
        match step:
            case Add():
                at_ms = now_ms - step.late_ms
                spans = _spans(step, now_ms)
                values = observed(case.taken, step, at_ms, arrival)
                everything.events.append((at_ms, spans, values))
                cell = added(case, cell, at_ms, now_ms, spans if case.spans else None, values)
            case Pass(ms, advance):
                now_ms += ms
                if advance and cell is not None:
                    cell = case.kind.advance(cell, now_ms)
            case Reload() if reload:
                cell = reloaded(cell)
        assert plain(case.taken, case.kind.answer(cell, now_ms)) == everything.answer(now_ms)
    return cell, everything, now_ms


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.kind))
@many
@given(script=steps)
def test_cell_answers_as_if_it_had_kept_every_event(case: Case, script: list[Step]) -> None:
    cell, everything, now_ms = run(case, script, reload=True)
    untouched, _, _ = run(case, script, reload=False)
    assert encoded(cell) == encoded(untouched), "what was stored and read in between must leave no trace"
    if cell is not None:
        _check_flip(case, cell, everything, now_ms)


def _check_flip(case: Case, cell: Any, everything: Everything, now_ms: int) -> None:
    """The answer stays as it is until the instant that the cell names, and the cell knows all answers from there on."""
    flip_ms = case.kind.next_flip_ms(cell, now_ms)
    assert flip_ms == 0 or flip_ms > now_ms
    before = case.read(everything.answer(now_ms))
    for later_ms in range(now_ms, now_ms + 5 * WINDOW_MS):
        answer = everything.answer(later_ms)
        if not flip_ms or later_ms < flip_ms:
            assert case.read(answer) == before, f"turned at {later_ms}, the cell said {flip_ms}"
        assert plain(case.taken, case.kind.answer(cell, later_ms)) == answer


# ── several profiles, of which some become one ───────────────────────────────────────────────────────────────────────

PROFILES = 3


@dataclass(frozen=True)
class To:
    """An event arrives for one of the profiles."""

    profile: int
    add: Add


@dataclass(frozen=True)
class Merge:
    """One profile takes in another; from then on events for the other are its own."""

    winner: int
    loser: int


@dataclass
class Held:
    """A profile's cell, and all of its events."""

    everything: Everything
    cell: Any = None


some = st.integers(0, PROFILES - 1)
family_steps = st.lists(
    st.builds(To, some, adds)
    | st.builds(To, some, adds)
    | st.builds(Pass, ms=lengths, advance=st.booleans())
    | st.just(Reload())
    | st.builds(Merge, some, some),
    min_size=10,
    max_size=40,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.kind))
@many
@given(script=family_steps)
def test_merged_cells_answer_as_if_one_had_had_every_event(
    case: Case, script: list[To | Pass | Reload | Merge]
) -> None:
    family = [Held(Everything(case)) for _ in range(PROFILES)]
    now_ms = START_MS
    last = [Merge(0, other) for other in range(1, PROFILES)]
    for arrival, step in enumerate([*script, *last]):
        match step:
            case To(profile, add):
                held, at_ms = family[profile], now_ms - add.late_ms
                spans, values = _spans(add, now_ms), observed(case.taken, add, at_ms, arrival)
                held.everything.events.append((at_ms, spans, values))
                held.cell = added(case, held.cell, at_ms, now_ms, spans if case.spans else None, values)
            case Pass(ms, advance):
                now_ms += ms
                for held in family if advance else ():
                    held.cell = case.kind.advance(held.cell, now_ms) if held.cell is not None else None
            case Reload():
                for held in family:
                    held.cell = reloaded(held.cell)
            case Merge(winner, loser):
                _merge(case, family, winner, loser, now_ms)
        for held in family:
            assert plain(case.taken, case.kind.answer(held.cell, now_ms)) == held.everything.answer(now_ms)
    (held, *_) = family
    if held.cell is not None:
        _check_flip(case, held.cell, held.everything, now_ms)


def _merge(case: Case, family: list[Held], winner: int, loser: int, now_ms: int) -> None:
    one, other = family[winner], family[loser]
    if one is other:
        return
    one.everything.events += other.everything.events
    if one.cell is not None and other.cell is not None:
        one.cell = case.kind.merge(one.cell, other.cell, now_ms)
    elif other.cell is not None:
        one.cell = other.cell
    if one.cell is not None:
        _check_flip(case, reloaded(one.cell), one.everything, now_ms)
    for place, held in enumerate(family):
        if held is other:
            family[place] = one


ORDERLESS = [case for case in CASES if not case.spans]


@pytest.mark.parametrize("case", ORDERLESS, ids=lambda case: str(case.kind))
@many
@given(data=st.data())
def test_order_of_arrival_does_not_matter(case: Case, data: st.DataObject) -> None:
    # Times differ: between equal times first() and last() go by arrival.
    events = data.draw(st.lists(adds, max_size=12, unique_by=lambda add: add.late_ms))
    shuffled = data.draw(st.permutations(events))
    one, other = (run(case, order, reload=False)[0] for order in (events, shuffled))
    for now_ms in range(START_MS, START_MS + 3 * WINDOW_MS):
        answers = [_without_arrival(case, case.kind.answer(cell, now_ms)) for cell in (one, other)]
        assert answers[0] == answers[1]


def _without_arrival(case: Case, total: Any) -> Any:
    found = plain(case.taken, total)
    return [found[0], found[2]] if found and isinstance(case.taken, Extreme) and case.taken.of == "moments" else found


def test_of_equal_times_the_first_to_arrive_is_first_and_the_last_is_last() -> None:
    for greatest, winner in ((False, "x"), (True, "y")):
        for kind in (Total(Extreme("moments", greatest)), Peaks(Extreme("moments", greatest), 0, WINDOW_MS)):
            cell = kind.add(None, 5, 6, None, [[5, 1, "x"]])
            again = stored(cell, kind.add(cell, 5, 6, None, [[5, 2, "y"]]))
            assert kind.answer(again, 6)[2] == winner


# ── the least that answers ────────────────────────────────────────────────────────────────────────────────────────


def test_capped_count_keeps_no_more_than_its_cap() -> None:
    kind = WindowCount(1_000_000, cap=3)
    cell: Any = None
    for at_ms in (5, 1, 9, 7, 3, 8):
        cell = stored(cell, kind.add(cell, at_ms, 10, None, ()))
    assert cell == [7, 8, 9]


def test_the_last_of_a_window_is_one_value() -> None:
    kind = Peaks(Extreme("moments", True), 0, 1_000)
    cell: Any = None
    for at_ms in (5, 1, 9, 7):
        cell = stored(cell, kind.add(cell, at_ms, 10, None, [[at_ms, at_ms, "x"]]))
    assert cell == [None, [1_009], [[9, 9, "x"]], []]


def test_a_maximum_keeps_only_what_no_better_one_outlives() -> None:
    kind = Peaks(Extreme("numbers", True), 0, 1_000)
    cell: Any = None
    for at_ms, value in enumerate((5, 1, 9, 7, 8, 2)):
        cell = stored(cell, kind.add(cell, at_ms, 10, None, [Decimal(value)]))
    assert cell[1:3] == [[1_002, 1_004, 1_005], [9, 8, 2]]


def test_a_million_cents_leave_no_trace() -> None:
    kind = Spanned(Summed(), 0, 10)
    cell: Any = kind.add(None, 0, 0, None, [Decimal("1000000")])
    for at_ms in range(1, 50):
        cell = kind.add(cell, at_ms, at_ms, None, [Decimal("0.1")] * 3)
        cell = kind.advance(cell, at_ms)
    assert kind.answer(cell, 49) == [Decimal("3.0"), 30]
    assert kind.advance(cell, 1_000) is None


def test_a_sum_that_comes_to_nothing_has_no_digits_behind_the_point() -> None:
    kind = Spanned(Summed(), 0, 10)
    cell = kind.add(None, 1, 1, None, [Decimal("0.10")])
    cell = kind.add(cell, 5, 5, None, [Decimal("-0.10")])
    assert str(kind.answer(cell, 5)[0]) == "0", "other bytes than those of a fresh one"


def test_sessions_are_joined_by_an_event_between_them() -> None:
    kind = Runs(Counted(), 10)
    cell: Any = None
    for at_ms in (100, 115, 50):
        cell = kind.add(cell, at_ms, 120, None, (1,))
    assert cell == [[50, 50, 1], [100, 100, 1], [115, 115, 1]]
    cell = kind.add(cell, 107, 120, None, (1,))
    assert cell == [[50, 50, 1], [100, 115, 3]]
    assert kind.next_flip_ms(cell, 120) == 125
    assert kind.answer(cell, 125) is None


def test_of_events_in_a_window_only_those_of_the_newest_session_turn_anything() -> None:
    kind = SessionFacts(Counted(), 10, 0, 100)
    cell: Any = None
    for at_ms in (0, 50, 55):
        cell = kind.add(cell, at_ms, 56, None, (1,))
    assert kind.next_flip_ms(cell, 56) == 65, "when the session expires"
    cell = kind.advance(cell, 100)
    assert kind.next_flip_ms(cell, 100) == 155, "when there is nothing left to keep"
    assert kind.advance(cell, 155) is None
