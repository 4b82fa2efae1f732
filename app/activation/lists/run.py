"""One update of a list: when it is due, what is sent next, and what follows from the answer.

    begin ─► next_upload ─► set_out (durable) ─► the request ─► settle ─┬─► next_upload … ─► end
                 ▲                                                      └ retry: the same members once more
                 └── after a crash: recover

What is wanted is read anew for each request, so a run sends what holds at that moment. Who changes behind the place in
the queue that the run has come to waits for the next one; so a run ends. Additions are ahead of removals there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from app.activation.lists import jobs
from app.activation.lists.draft import Draft
from app.activation.lists.state import ADD, REMOVE, RUNS_KEPT, Entry, Has, KeptList, OnItsWay, Run, entry_id
from app.activation.lists.vendor import Lists, Member, Session, Upload
from app.activation.outcome import Delivered, Disabled, Outcome, Partial, Pause, Reason, Rejected, Retry

REFUSED_ROW_MAX = 50
"""Requests refused one after the other, after which the fault is taken to be elsewhere than in the members."""
FORGET_ENTRIES = 1_000
"""In one step."""
COUNTED = 10_000
"""Places of the queue that are held at a time while they are counted."""
UNKNOWN = (Reason.TIMEOUT, Reason.CONNECTION, Reason.SERVER_ERROR, Reason.UNREADABLE)
"""After these even the first request may have done its work."""


@dataclass(slots=True)
class Walk:
    """What a run remembers between its requests. A crash loses it, and nothing with it."""

    begun_ms: int = 0
    """When; sessions are named by it."""
    after: bytes = b""
    """The last place in the queue that is done with."""
    members_max: int | None = None
    """After a request was refused as a whole: smaller ones, until one is taken."""
    refused_row: list[tuple[bytes, str]] = field(default_factory=list)
    """Entries refused since a request was taken, and why."""
    refusals: int = 0
    """Requests refused since then."""
    session: Session | None = None
    """As the next request has to show it, but for `last`."""
    session_of: bytes = b""
    """What it does: ADD or REMOVE."""


@dataclass(frozen=True, slots=True)
class Sending:
    """Members of one request, with their entries."""

    add: bool
    entries: tuple[bytes, ...]
    members: tuple[Member, ...]
    session: Session | None = None

    def upload(self, external: str) -> Upload:
        return Upload(external, self.add, self.members, self.session)


def due_ms(kept: KeptList, interval_ms: int, first_wait_ms: int) -> int:
    """From when on a list may be updated: at once where an update was interrupted, then by its interval.

    The first one waits a little: whole audiences come in within seconds, and the first update sends all of them.
    """
    if kept.run is not None or kept.forgetting:
        return 0
    return kept.runs[-1].started_ms + interval_ms if kept.runs else kept.seen_ms + first_wait_ms


def differs(draft: Draft, list_: bytes, lists: Lists) -> bool:
    """Whether there is anything to send."""
    return bool(draft.queued(list_, b"", 1, ADD if lists.additive_only else b""))


def begin(draft: Draft, list_: bytes, kept: KeptList, now_ms: int) -> None:
    """A run starts, unless one goes on that was interrupted."""
    if kept.run is None:
        kept.runs = [*kept.runs[1 - RUNS_KEPT :], Run(now_ms)]
        draft.put_list(list_, kept)


def end(draft: Draft, list_: bytes, kept: KeptList, now_ms: int, *, failed: str = "") -> None:
    """It is over; what it could not do is left to the next one."""
    run = kept.run
    assert run is not None, "no run is under way"
    run.ended_ms, run.status, run.reason = now_ms, "failed" if failed else "done", failed
    draft.put_list(list_, kept)


def next_upload(draft: Draft, list_: bytes, lists: Lists, walk: Walk) -> Sending | None:
    """Who is sent next: of one group, all to be added or all to be removed. None: the run has come to its end."""
    only = ADD if lists.additive_only else b""
    first = draft.queued(list_, walk.after, 1, only)
    if not first:
        return None
    what = first[0][:1]
    most = lists.add_max if what == ADD else lists.remove_max
    places = draft.queued(list_, walk.after, min(most, walk.members_max or most), what)
    entries: list[bytes] = []
    members: list[Member] = []
    for place in places:
        entry = draft.entry(list_, place[1:])
        assert entry is not None, "the queue holds only entries"
        if members and entry.group != members[0].group:
            break
        entries.append(place[1:])
        members.append(_member(entry, add=what == ADD))
    session = _session(draft, list_, walk, what, entries[-1]) if lists.sessions else None
    return Sending(what == ADD, tuple(entries), tuple(members), session)


def _session(draft: Draft, list_: bytes, walk: Walk, what: bytes, end: bytes) -> Session | None:
    """Of the request that ends with this entry. Who is queued behind a last request begins another session."""
    last = not draft.queued(list_, what + end, 1, what)
    if walk.session is None or walk.session_of != what:
        walk.session, walk.session_of = None, what
        if last:
            return None
        place = f"{walk.begun_ms}/{list_.decode()}/".encode() + what + walk.after
        id_ = int.from_bytes(blake2b(place, digest_size=8).digest()) >> 11 or 1
        walk.session = Session(id_, 1, False, _count(draft, list_, walk.after, what))
    return replace(walk.session, last=last)


def _count(draft: Draft, list_: bytes, after: bytes, what: bytes) -> int:
    found = 0
    while places := draft.queued(list_, after, COUNTED, what):
        found += len(places)
        after = places[-1]
    return found


def set_out(draft: Draft, list_: bytes, sending: Sending) -> None:
    """Before the request: from here on it may reach the vendor without our hearing of it."""
    draft.put_on_its_way(list_, OnItsWay(sending.add, [(each.key, each.group, each.cells) for each in sending.members]))


def recover(draft: Draft, list_: bytes) -> None:
    """After a crash: whoever was in a request then may or may not be on the list."""
    kept = draft.kept_list(list_)
    if kept is not None:
        jobs.drop_unknown(draft, list_, kept)
    sent = draft.on_its_way(list_)
    if sent is None:
        return
    draft.put_on_its_way(list_, None)
    doubt(draft, list_, [Member(key, cells, group) for key, group, cells in sent.members])


def doubt(draft: Draft, list_: bytes, members: Sequence[Member]) -> None:
    """Whether the vendor has them, or has them no more, is not known."""
    for member in members:
        id_ = entry_id(member)
        entry = draft.entry(list_, id_) or _left(member)
        _doubt(entry, member.cells)
        draft.put_entry(list_, id_, entry)


def settle(
    draft: Draft, list_: bytes, kept: KeptList, walk: Walk, sending: Sending, outcome: Outcome,
    *, requests: int, now_ms: int,
) -> Retry | None:  # fmt: skip
    """Put down what a request came to.

    Args:
        requests: How many the exchange took. After the second one the first has been heard, and may have done its work.
    Returns:
        What has to be waited for before `next_upload`.
    """
    draft.put_on_its_way(list_, None)
    run = kept.run
    assert run is not None, "no run is under way"
    run.requests += requests
    if outcome == Rejected(Reason.LIST_GONE):
        kept.external, kept.forgetting, kept.jobs = "", True, []  # reports would be of that list
        jobs.drop_unknown(draft, list_, kept)
        draft.put_list(list_, kept)
        return None
    count = len(sending.entries)
    if isinstance(outcome, Rejected) and count > 1:
        if requests > 1:  # a job that took some of them and does not say which
            doubt(draft, list_, sending.members)
        walk.members_max = max(1, count // 2)
        walk.refusals += 1
        draft.put_list(list_, kept)
        return None
    each = outcome.items if isinstance(outcome, Partial) else (outcome,) * count
    assert len(each) == count, "a partial outcome names every member"
    if isinstance(outcome, Delivered) and outcome.job:
        jobs.accept(
            draft, list_, kept, outcome.job, add=sending.add, entries=sending.entries, members=sending.members,
            now_ms=now_ms,
        )  # fmt: skip
    waits = [one for one in each if not isinstance(one, Delivered | Rejected)]
    for id_, member, one in zip(sending.entries, sending.members, each, strict=True):
        _settle_one(draft, list_, run, walk, sending.add, id_, member, one, requests, now_ms)
    if any(isinstance(one, Delivered) for one in each):
        walk.refused_row, walk.refusals = [], 0
        walk.members_max = walk.members_max * 2 if walk.members_max else None
    elif not waits:
        walk.refusals += 1
    draft.put_list(list_, kept)
    if not waits:
        pass_over(walk, sending)
        if walk.session is not None and sending.session is not None:
            walk.session = None if sending.session.last else replace(walk.session, number=walk.session.number + 1)
        return None
    return next((one for one in waits if isinstance(one, Retry)), Retry(Reason.UNAUTHORIZED))


def brakes(draft: Draft, list_: bytes, kept: KeptList, walk: Walk) -> bool:
    """Whether too many requests in a row were refused: then no member is to blame for it, and the run is to end."""
    if walk.refusals < REFUSED_ROW_MAX:
        return False
    assert kept.run is not None, "no run is under way"
    refused = dict(kept.run.refused)
    for id_, reason in walk.refused_row:
        refused[reason] -= 1
        entry = draft.entry(list_, id_)
        if entry is not None:
            entry.refused = ""
            draft.put_entry(list_, id_, entry)
    kept.run.refused = {reason: count for reason, count in refused.items() if count}
    return True


def pass_over(walk: Walk, sending: Sending) -> None:
    """Whoever of a request still waits, waits for the next run; this one goes on behind them."""
    walk.after = (ADD if sending.add else REMOVE) + sending.entries[-1]


def forget(draft: Draft, list_: bytes, kept: KeptList, after: bytes) -> bytes | None:
    """A step of forgetting what a vendor's lost list had; gives how far it has come, None when it is through."""
    ids = draft.entries(list_, after, FORGET_ENTRIES)
    for id_ in ids:
        entry = draft.entry(list_, id_)
        assert entry is not None, "its key has just been read"
        if entry.has is not Has.NOT or entry.refused:
            entry.has, entry.sent, entry.refused, entry.again = Has.NOT, (), "", False
            draft.put_entry(list_, id_, entry)
    if ids:
        return ids[-1]
    kept.forgetting = False
    draft.put_list(list_, kept)
    return None


def _settle_one(
    draft: Draft, list_: bytes, run: Run, walk: Walk, add: bool, id_: bytes, member: Member, outcome: Outcome,
    requests: int, now_ms: int,
) -> None:  # fmt: skip
    # Read anew: what is wanted may have changed while the request was on its way.
    entry = draft.entry(list_, id_) or _left(member)
    wanted = bool(entry.by) == add
    match outcome:
        case Delivered():
            entry.has, entry.sent = (Has.YES, member.cells) if add else (Has.NOT, ())
            run.added += add
            run.removed += not add
        case Rejected(reason):
            run.refused = {**run.refused, reason.value: run.refused.get(reason.value, 0) + 1}
            if wanted:
                entry.refused, entry.refused_ms = reason.value, now_ms
                walk.refused_row.append((id_, reason.value))
        case Retry(reason, _, _) if requests > 1 or (requests and reason in UNKNOWN):
            _doubt(entry, member.cells)
        case Pause() | Disabled() if requests > 1:
            _doubt(entry, member.cells)
    draft.put_entry(list_, id_, entry)


def _left(member: Member) -> Entry:
    """Of whom nothing was left to remember while a request about him was on its way."""
    return Entry(member.key, member.group, member.cells, [])


def _doubt(entry: Entry, cells: Sequence[str]) -> None:
    entry.has, entry.sent = Has.DOUBT, tuple(cells)


def _member(entry: Entry, *, add: bool) -> Member:
    return Member(entry.key, entry.cells if add else entry.sent or entry.cells, entry.group)
