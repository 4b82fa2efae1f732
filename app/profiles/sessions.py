"""Cells of expires_after(): of all events that pass the other filters only the newest session counts, until it expires.

A session is a run of events with no gap of `gap_ms` or more. A late event can join any two of them, and so old ones to
the newest: nothing but a window that ends lets them be forgotten.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from app.profiles.aggregates import Aggregate
from app.profiles.cells import KEPT, Marks, Span, level
from app.profiles.facts import insert
from app.profiles.facts import merge as merge_facts
from app.profiles.windows import in_window

_start_ms, _end_ms = itemgetter(0), itemgetter(1)


@dataclass(frozen=True, slots=True)
class Runs:
    """[start, end, total] of each session, in order."""

    aggregate: Aggregate
    gap_ms: int
    marks: Marks | None = None
    """Of a count; None where each matters, and for all else."""

    def add(
        self, cell: list[Any] | None, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Any]
    ) -> Any:
        runs: list[Any] = cell if cell is not None else []
        marks = self.marks if cell is not None else None
        before = self.answer(cell, now_ms) if marks is not None else None
        # Those from `first` on end less than a gap before the event; those before `last` start less than one after it.
        first = bisect_left(runs, at_ms - self.gap_ms + 1, key=_end_ms)
        last = first
        start_ms, end_ms, total = at_ms, at_ms, None
        while last < len(runs) and runs[last][0] - at_ms < self.gap_ms:
            run = runs[last]
            start_ms, end_ms = min(start_ms, run[0]), max(end_ms, run[1])
            total = self.aggregate.merge(total, run[2]) if total is not None else run[2]
            last += 1
        for value in values:
            total = self.aggregate.add(total, value)
        runs[first:last] = [[start_ms, end_ms, total]]
        if marks is None:
            return runs
        after = self.answer(runs, now_ms)
        return KEPT if level(marks, before or 0) == level(marks, after or 0) else runs

    def advance(self, cell: list[Any], now_ms: int) -> list[Any]:
        return cell

    def answer(self, cell: list[Any] | None, now_ms: int) -> Any:
        return cell[-1][2] if cell and now_ms - cell[-1][1] < self.gap_ms else None

    def next_flip_ms(self, cell: list[Any], now_ms: int) -> int:
        _, end_ms, total = cell[-1]
        if self.marks is not None and not level(self.marks, total):
            return 0
        expires_ms: int = end_ms + self.gap_ms
        return expires_ms if expires_ms > now_ms else 0

    def merge(self, cell: list[Any], other: list[Any], now_ms: int) -> list[Any]:
        runs: list[Any] = []
        for run in sorted(cell + other, key=_start_ms):
            last = runs[-1] if runs else None
            if last is not None and run[0] - last[1] < self.gap_ms:
                last[1] = max(last[1], run[1])
                last[2] = self.aggregate.merge(last[2], run[2])
            else:
                runs.append(run)
        return runs


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """[time, start, end, values] of each event that counts or will, sorted by time."""

    aggregate: Aggregate
    gap_ms: int
    near_ms: int = 0
    far_ms: int = 0
    """How long after its time an event begins and ceases to count; 0 where each event says it by itself."""

    def add(
        self, cell: list[Any] | None, at_ms: int, now_ms: int, spans: Sequence[Span] | None, values: Sequence[Any]
    ) -> list[Any] | None:
        if spans is None:
            spans = in_window(at_ms, now_ms, self.near_ms, self.far_ms)
        facts = [[at_ms, *span, list(values)] for span in spans if not span[1] or span[1] > now_ms]
        if not facts:
            return None
        held = cell if cell is not None else []
        for fact in facts:
            insert(held, fact)
        return held

    def advance(self, cell: list[Any], now_ms: int) -> list[Any] | None:
        return [fact for fact in cell if not fact[2] or fact[2] > now_ms] or None

    def answer(self, cell: list[Any] | None, now_ms: int) -> Any:
        total = None
        for fact in self.session(cell or (), now_ms):
            for value in fact[3]:
                total = self.aggregate.add(total, value)
        return total

    def session(self, facts: Sequence[list[Any]], now_ms: int) -> Iterator[list[Any]]:
        """What counts of the newest session, the newest first."""
        next_ms = now_ms
        for fact in reversed(facts):
            if fact[1] <= now_ms and (not fact[2] or now_ms < fact[2]):
                if next_ms - fact[0] >= self.gap_ms:
                    return
                yield fact
                next_ms = fact[0]

    def next_flip_ms(self, cell: list[Any], now_ms: int) -> int:
        # Outside of the newest session an event matters when it begins to count, and not when it ceases to.
        edges = list(self._starts(cell, now_ms))
        session = list(self.session(cell, now_ms))
        if session:
            edges.append(session[0][0] + self.gap_ms)
            edges += [fact[2] for fact in session if fact[2]]
        # When nothing is left that can count, what is still here can go.
        return min(edges) if edges else self._over_ms(cell, now_ms)

    def _starts(self, cell: list[Any], now_ms: int) -> Iterator[int]:
        for fact in reversed(cell):
            if fact[1] > now_ms:
                yield fact[1]
            elif self.far_ms:  # as late after its time as all others: those before it have begun too
                return

    def _over_ms(self, cell: list[Any], now_ms: int) -> int:
        last_ms: int = cell[-1][2] if self.far_ms else max(fact[2] for fact in cell)
        return last_ms if last_ms > now_ms else 0

    def merge(self, cell: list[Any], other: list[Any], now_ms: int) -> list[Any] | None:
        merge_facts(cell, other)
        return self.advance(cell, now_ms)
