"""Requests that a vendor has accepted and works on for hours: whom they are about, and what follows from its report.

    settle ─► accept ─► (hours) ─► asked ─┬─► not yet: asked again, later
                                          └─► settled: counts of the run; or all of its members once more

An accepted member counts as taken, so the run goes on and ends. A report names nobody. Where it says that the request
came to nothing, whoever is still wanted as he was then goes out with the next update, and is refused where that
comes to nothing, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.activation.lists.draft import Draft
from app.activation.lists.state import Accepted, Entry, Has, Job, KeptList, Run
from app.activation.lists.vendor import Member, Report
from app.activation.outcome import Reason


@dataclass(frozen=True, slots=True)
class Undone:
    """Members that a job has not seen to."""

    again: int = 0
    """They are sent once more."""
    refused: int = 0


def accept(
    draft: Draft, list_: bytes, kept: KeptList, job: str, *, add: bool, entries: Sequence[bytes],
    members: Sequence[Member], now_ms: int,
) -> None:  # fmt: skip
    """Put down that a request was accepted, before its members are settled."""
    again: list[int] = []
    for index, id_ in enumerate(entries):
        entry = draft.entry(list_, id_)
        if entry is not None and entry.again:
            again.append(index)
            entry.again = False
            draft.put_entry(list_, id_, entry)
    whole = [] if add else [(each.key, each.group, each.cells) for each in members]
    draft.put_accepted(list_, job, Accepted(add, list(entries), whole, again))
    assert kept.run is not None, "a request is part of a run"
    kept.jobs = [*(one for one in kept.jobs if one.id != job), Job(job, kept.run.started_ms, now_ms)]


def due(kept: KeptList, waits_s: Sequence[float], now_ms: int) -> list[Job]:
    """Those that are to be asked about now."""
    return [
        job
        for job in kept.jobs
        if job.asked < len(waits_s) and now_ms >= job.at_ms + int(waits_s[job.asked] * 1000)
    ]  # fmt: skip


def not_yet(draft: Draft, list_: bytes, kept: KeptList, job: str, waits_s: Sequence[float], now_ms: int) -> bool:
    """There is no report; gives whether there is no sense in asking any more."""
    for one in kept.jobs:
        if one.id == job:
            one.asked, one.at_ms = one.asked + 1, now_ms
    given_up = any(one.id == job and one.asked >= len(waits_s) for one in kept.jobs)
    if given_up:
        _drop(draft, list_, kept, job)
    draft.put_list(list_, kept)
    return given_up


def settle(draft: Draft, list_: bytes, kept: KeptList, job: str, report: Report, now_ms: int) -> Undone:
    """Put down what has become of a job."""
    accepted, about = draft.accepted(list_, job), next((one for one in kept.jobs if one.id == job), None)
    _drop(draft, list_, kept, job)
    undone = Undone()
    if accepted is not None and about is not None:
        refused = min(report.refused, len(accepted.entries))
        undone = _undo(draft, list_, accepted, now_ms) if report.nobody else Undone(refused=refused)
        count = len(accepted.entries) if report.nobody else refused
        for run in kept.runs:
            if run.started_ms == about.run_ms:
                _correct(run, accepted.add, count, undone.refused)
    draft.put_list(list_, kept)
    return undone


def drop_unknown(draft: Draft, list_: bytes, kept: KeptList) -> None:
    """Forget the members of jobs that are none of the list's: a crash came between the two, or the list was lost."""
    known = {job.id for job in kept.jobs}
    for job in draft.jobs(list_):
        if job not in known:
            draft.put_accepted(list_, job, None)


def _drop(draft: Draft, list_: bytes, kept: KeptList, job: str) -> None:
    kept.jobs = [one for one in kept.jobs if one.id != job]
    draft.put_accepted(list_, job, None)


def _correct(run: Run, add: bool, count: int, refused: int) -> None:
    """A run's counts, that had taken the job's members for done."""
    if add:
        run.added = max(0, run.added - count)
    else:
        run.removed = max(0, run.removed - count)
    if refused:
        reason = Reason.REFUSED.value
        run.refused = {**run.refused, reason: run.refused.get(reason, 0) + refused}


def _undo(draft: Draft, list_: bytes, accepted: Accepted, now_ms: int) -> Undone:
    """In doubt again, all of them but those who have been sent since: a request before this one may have done it.

    Whoever is wanted as he was then goes out once more, the others as they are wanted now.
    """
    last, again, refused = {*accepted.again}, 0, 0
    for index, id_ in enumerate(accepted.entries):
        entry = draft.entry(list_, id_)
        if entry is None and not accepted.add:
            entry = Entry(*accepted.members[index], [])
        if entry is None or entry.has is not (Has.YES if accepted.add else Has.NOT):
            continue
        entry.has, entry.sent = Has.DOUBT, entry.sent if accepted.add else accepted.members[index][2]
        if bool(entry.by) == accepted.add:
            if index in last:
                entry.refused, entry.refused_ms = Reason.REFUSED.value, now_ms
                refused += 1
            else:
                entry.again = True
                again += 1
        draft.put_entry(list_, id_, entry)
    return Undone(again, refused)
