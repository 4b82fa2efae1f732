"""What a cell still knows of the events that make its answer what it is.

Cells keep the least that answers exactly, so this is often less than the events: a number without times, or only those
that can still leave a window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.events.numbers import plain_number
from app.profiles.aggregates import Aggregate, Counted, Extreme, Summed, Texts, as_number
from app.profiles.cells import CellKind
from app.profiles.facts import latest_session
from app.profiles.funnels import OUT, STATE, VALUES, Funnel
from app.profiles.sessions import Runs, SessionFacts
from app.profiles.windows import FOREVER_MS, Count, Peaks, Spanned, Total, WindowCount

KNOWN_MAX = 10
"""Of many events the newest are enough to see why."""


@dataclass(frozen=True, slots=True)
class Known:
    """One event that counts now, or what the reducer takes of it."""

    at_ms: int | None
    """The event's own time; None where only the time when it leaves is kept."""
    until_ms: int = 0
    """When it leaves by itself; 0 for never, as far as its window goes."""
    values: tuple[Any, ...] = ()
    """What the reducer takes; nothing for a count."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a cell knows of the events behind its answer."""

    events: int | None = 0
    """How many count now; None where that is not kept."""
    are_values: bool = False
    """Whether what is counted are values that the reducer takes, of which an event may have none or several."""
    at_least: bool = False
    """Whether there may be more: a count is kept only as far as a comparison needs it."""
    known: tuple[Known, ...] = ()
    """Those that are still known one by one, the newest first; at most `KNOWN_MAX`."""
    oldest_ms: int | None = None
    newest_ms: int | None = None
    """Times of the first and the last event that count, as far as times are known."""
    waiting: int = 0
    """Events that do not count now and later may."""
    expires_ms: int = 0
    """When the session that counts is over, unless it goes on; 0 where there is none."""
    texts: tuple[tuple[str, int], ...] = ()
    """(text, how often), the most frequent first, where texts are counted; at most `KNOWN_MAX`."""


def evidence(kind: CellKind, cell: Any, now_ms: int, *, ends_tell_times: bool) -> Evidence:
    """What a cell knows at an instant to which it has been advanced; a cell may be None.

    Args:
        ends_tell_times: Whether an event leaves a fixed time after its own, so that one tells the other.
    """
    found = _found(kind, cell, now_ms, ends_tell_times) if cell is not None else Evidence()
    return replace(found, are_values=not isinstance(_aggregate(kind), Counted))


def _aggregate(kind: CellKind) -> Aggregate:
    match kind:
        case Total() | Spanned() | Peaks() | Runs() | SessionFacts():
            return kind.aggregate
        case Funnel():
            return kind.steps[0].aggregate
    return Counted()


def _found(kind: CellKind, cell: Any, now_ms: int, ends_tell_times: bool) -> Evidence:
    match kind:
        case Count():
            return Evidence(events=cell)
        case WindowCount(window_ms, cap):
            found = [Known(at_ms, at_ms + window_ms) for at_ms in cell if at_ms > now_ms - window_ms]
            return replace(_known(found), events=len(found), at_least=0 < cap <= len(found))
        case Total(aggregate):
            return _of_total(aggregate, cell)
        case Spanned(aggregate, _, far_ms) | Peaks(aggregate, _, far_ms):
            return _of_spans(aggregate, cell, far_ms if ends_tell_times else 0, is_peaks=isinstance(kind, Peaks))
        case Runs(aggregate, gap_ms):
            start_ms, end_ms, total = cell[-1]
            if now_ms - end_ms >= gap_ms:
                return Evidence()
            found_in = _of_total(aggregate, total)
            return replace(found_in, oldest_ms=start_ms, newest_ms=end_ms, expires_ms=end_ms + gap_ms)
        case SessionFacts(aggregate, gap_ms):
            facts = list(kind.session(cell, now_ms))
            found = [Known(fact[0], fact[2], _shown(aggregate, fact[3])) for fact in reversed(facts)]
            known = replace(_known(found), events=_observations(aggregate, facts, 3))
            counting = sum(1 for fact in cell if fact[1] <= now_ms)
            expires_ms = facts[0][0] + gap_ms if facts else 0
            return replace(known, waiting=len(cell) - counting, expires_ms=expires_ms)
        case Funnel():
            return _of_funnel(kind, cell, now_ms)
    raise AssertionError(f"no cell of this kind: {kind}")


def _of_total(aggregate: Aggregate, total: Any) -> Evidence:
    if total is None:
        return Evidence()
    match aggregate:
        case Counted():
            return Evidence(events=total)
        case Summed():
            return Evidence(events=total[1])
        case Texts():
            texts = sorted(total.items(), key=lambda each: (-each[1], each[0]))
            return Evidence(events=sum(total.values()), texts=tuple(texts[:KNOWN_MAX]))
        case Extreme("moments"):
            return replace(_known([Known(total[0], 0, _shown(aggregate, [total]))]), events=None)
    return Evidence(events=None, known=(Known(None, 0, _shown(aggregate, [total])),))


def _of_spans(aggregate: Aggregate, cell: list[Any], far_ms: int, *, is_peaks: bool) -> Evidence:
    """Of `Spanned` and `Peaks`; of these, what a better value hides is not known."""
    total, ends, values, pending = cell
    found = []
    for end_ms, value in zip(ends, values, strict=True):
        at_ms = end_ms - far_ms if far_ms else None
        if isinstance(aggregate, Extreme) and aggregate.of == "moments":
            at_ms = value[0]
        found.append(Known(at_ms, end_ms if end_ms < FOREVER_MS else 0, _shown(aggregate, [value])))
    base = Evidence(events=None if found else 0) if is_peaks else _of_total(aggregate, total)
    return replace(_known(found), events=base.events, texts=base.texts, waiting=len(pending))


def _of_funnel(kind: Funnel, cell: list[Any], now_ms: int) -> Evidence:
    top = kind.steps[0]
    counting = [parent for parent in cell[1] if parent[STATE] != OUT]
    waiting = len(cell[1]) - len(counting)
    expires_ms = 0
    if top.gap_ms is not None:
        counting = latest_session(counting, top.gap_ms, now_ms)
        expires_ms = counting[-1][0] + top.gap_ms if counting else 0
    found = [
        Known(parent[0], parent[0] + top.far_ms if top.far_ms else 0, _shown(top.aggregate, parent[VALUES]))
        for parent in counting
    ]
    settled = _of_total(top.aggregate, cell[0])
    observed = _observations(top.aggregate, counting, VALUES)
    events = None if settled.events is None else settled.events + observed
    return replace(_known(found), events=events, waiting=waiting, expires_ms=expires_ms, texts=settled.texts)


def _known(found: Sequence[Known]) -> Evidence:
    """Of events in the order of their times, or of their ends where times are not known."""
    times = [each.at_ms for each in found if each.at_ms is not None]
    newest = tuple(found[: -KNOWN_MAX - 1 : -1])
    return Evidence(known=newest, oldest_ms=min(times, default=None), newest_ms=max(times, default=None))


def _observations(aggregate: Aggregate, facts: Iterable[Sequence[Any]], place: int) -> int:
    return sum(len(fact[place]) for fact in facts)


def _shown(aggregate: Aggregate, values: Sequence[Any]) -> tuple[Any, ...]:
    """Values as people sent them."""
    match aggregate:
        case Counted():
            return ()
        case Summed() | Extreme("numbers"):
            return tuple(plain_number(as_number(value)) for value in values)
        case Extreme("moments"):
            return tuple(value[2] for value in values)
    return tuple(values)
