"""What a cell has of events that are not in another, of which it has all: what there was before a log that was cut.

It is made to be merged with cells of some of the other's events, and answers exactly then, as far as the cell tells:

| | what is left |
|---|---|
| counts, sums, texts | what the other does not have |
| lists of events or values, events unjudged | those that the other does not have |
| min, max, first, last | the value, unless the other has the same one; merged twice it is still the same |
| sessions | their totals, without what the other has in them; until the other's last one in it began |
| funnels | its own parents and facts; parents are looked at again |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.events.values import EXACT
from app.profiles.aggregates import Aggregate, Counted, Extreme, Summed, Texts, as_number
from app.profiles.cells import CellKind
from app.profiles.funnels import DUE, STATE, VALUES, Funnel
from app.profiles.sessions import Runs, SessionFacts
from app.profiles.unjudged import Events, is_one
from app.profiles.windows import Count, Peaks, Spanned, Total, WindowCount

_encoded = msgspec.msgpack.encode


class NotWithin(Exception):
    """The other has something that the cell has not."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left of a profile's cells when some of its events are taken out.

    Attributes:
        cells: By id.
        older: Those in which there is something from before the log.
        whole: Those of them that are as they were: the log tells of events that the profile never counted there, so
            what is in it of whom cannot be told. Who has left has none of it.
    """

    cells: dict[str, Any] = field(default_factory=dict)
    older: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)


def remaining(
    there: Mapping[str, Any],
    told: Mapping[str, Any],
    left: Mapping[str, Any],
    kinds: Mapping[str, CellKind],
    now_ms: int,
) -> Remaining:
    """What the log tells to be left, and what there is from before it.

    Args:
        there: The profile's cells.
        told: What they would be by the log alone.
        left: What would be left of those.
        kinds: Of the cells that are needed, by id. Others are dropped.
    """
    found = Remaining()
    for id_ in (there.keys() | told.keys() | left.keys()) & kinds.keys():
        kind = kinds[id_]
        has, log, rest = (advanced(kind, cells.get(id_), now_ms) for cells in (there, told, left))
        try:
            if has is None and log is not None:
                raise NotWithin
            older = remainder(kind, has, log, now_ms) if log is not None else has
        except NotWithin:
            found.whole.add(id_)
            older, rest = has, None
        if older is not None or id_ in found.whole:
            found.older.add(id_)
        if older is not None:
            rest = kind.merge(older, rest, now_ms) if rest is not None else older
        if rest is not None:
            found.cells[id_] = rest
    return found


def advanced(kind: CellKind, cell: Any, now_ms: int) -> Any:
    """A copy of a cell at now, encoded as it is stored."""
    if cell is None:
        return None
    left = kind.advance(msgspec.msgpack.decode(_encoded(cell)), now_ms)
    return msgspec.msgpack.decode(_encoded(left)) if left is not None else None


def remainder(kind: CellKind, cell: Any, other: Any, now_ms: int) -> Any:
    """The cell without another's events; None where nothing is left. Both are at now, and encoded as they are stored;
    neither is changed.

    Raises:
        NotWithin: The other has something that the cell has not.
    """
    match kind:
        case Count():
            return _total(Counted(), cell, other)
        case Total(aggregate):
            return _total(aggregate, cell, other)
        case WindowCount():
            return _rest(cell, other, lenient=0 < kind.cap <= len(cell)) or None
        case Spanned(aggregate):
            pairs = _rest(_pairs(cell), _pairs(other))
            return _spans(_total(aggregate, cell[0], other[0]), pairs, _rest(cell[3], other[3]))
        case Peaks():
            # A better value may hide one of the other's.
            return _spans(None, _rest(_pairs(cell), _pairs(other), lenient=True), _rest(cell[3], other[3]))
        case Runs(aggregate):
            return _runs(aggregate, cell, other)
        case SessionFacts():
            return _rest(cell, other) or None
        case Funnel():
            return _funnel(kind, cell, other, now_ms)
        case Events():
            return _rest(cell, other, key=is_one) or None
    raise AssertionError(f"no cell of this kind: {kind}")


def _total(aggregate: Aggregate, total: Any, other: Any) -> Any:
    if other is None or total is None:
        if other is not None:
            raise NotWithin
        return total
    match aggregate:
        case Counted():
            return _less(total, other) or None
        case Summed():
            count = _less(total[1], other[1])
            return [EXACT.subtract(as_number(total[0]), as_number(other[0])), count] if count else None
        case Texts():
            if other.keys() - total.keys():
                raise NotWithin
            words = {word: _less(times, other.get(word, 0)) for word, times in total.items()}
            return {word: times for word, times in words.items() if times} or None
        case Extreme():
            return total if total != other else None
    raise AssertionError(f"no aggregate of this kind: {aggregate}")


def _less(count: int, other: int) -> int:
    if other > count:
        raise NotWithin
    return count - other


def _rest(
    facts: Iterable[Any], others: Iterable[Any], *, lenient: bool = False, key: Callable[[Any], Hashable] = _encoded
) -> list[Any]:
    """Those facts that are not among the others.

    Args:
        lenient: Whether the others may have more.
    """
    gone = Counter(map(key, others))
    left: list[Any] = []
    for fact in facts:
        place = key(fact)
        if gone[place]:
            gone[place] -= 1
        else:
            left.append(fact)
    if not lenient and gone.total():
        raise NotWithin
    return left


def _pairs(cell: Sequence[Any]) -> list[tuple[int, Any]]:
    return list(zip(cell[1], cell[2], strict=True))


def _spans(total: Any, pairs: Sequence[tuple[int, Any]], pending: list[Any]) -> list[Any] | None:
    cell = [total, [end_ms for end_ms, _ in pairs], [value for _, value in pairs], pending]
    return cell if total is not None or pairs or pending else None


def _runs(aggregate: Aggregate, cell: Iterable[Sequence[Any]], other: Sequence[Sequence[Any]]) -> list[Any] | None:
    left: list[Any] = []
    found = 0
    for start_ms, end_ms, total in cell:
        inside = [run for run in other if start_ms <= run[0] and run[1] <= end_ms]
        found += len(inside)
        rest = total
        for run in inside:
            rest = _total(aggregate, rest, run[2])
        if not inside:
            left.append([start_ms, end_ms, rest])
        elif rest is not None or [*inside[0][:2]] != [start_ms, end_ms]:
            # What there was before may have made one session of several: so it reaches to the last of them.
            last = inside[-1]
            left.append([start_ms, last[0] if last[1] == end_ms else end_ms, rest])
    if found < len(other):
        raise NotWithin
    return left or None


def _funnel(kind: Funnel, cell: Sequence[Any], other: Sequence[Any], now_ms: int) -> list[Any] | None:
    settled = _total(kind.steps[0].aggregate, cell[0], other[0])
    parents = _parents(cell[1], other[1])
    for parent in parents:
        parent[DUE] = now_ms
    steps = zip(kind.steps[1:], cell[2:], other[2:], strict=True)
    facts = [_rest(held, told, lenient=step.newest and len(held) >= step.cap) for step, held, told in steps]
    return [settled, parents, *facts] if settled is not None or parents or any(facts) else None


def _parents(parents: Iterable[Sequence[Any]], others: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Those that the other has not. One that is settled in one of the two has lost its slots there."""
    exact = _rest(parents, others, lenient=True, key=lambda each: _encoded(each[:STATE]))
    unmatched = _rest(others, parents, lenient=True, key=lambda each: _encoded(each[:STATE]))
    return [[*each] for each in _rest(exact, unmatched, key=lambda each: _encoded([each[0], each[VALUES]]))]
