"""A payload's news, taken into the table: who is wanted on which list."""

from __future__ import annotations

from dataclasses import dataclass

from app.activation.lists.draft import Draft
from app.activation.lists.state import Entry, KeptList, Through, entry_id
from app.activation.lists.vendor import Member
from app.activation.payload import InvalidPayload, Payload

NEVER_MS = 2**62
"""Later than anything that is told."""


@dataclass(frozen=True, slots=True)
class Told:
    """One payload, for a list."""

    list: bytes
    """The audience's id."""
    audience: str
    """Its key."""
    name: str
    profile: str
    at_ms: int
    sequence: int
    entered: bool
    member: Member | None
    """None: nobody that the vendor could know."""
    absorbed: tuple[str, ...] = ()
    """Profiles that are part of this one."""
    stays: bool = False
    """On the list, whoever leaves: a journey's only grows."""


def told_of(payload: Payload, member: Member | None) -> Told:
    """Raises InvalidPayload: it is no membership."""
    if payload.kind not in ("entered", "exited"):
        raise InvalidPayload(f"{payload.id}: only memberships go to a list, not what was {payload.kind}")
    return Told(
        payload.computation.id.encode(), payload.computation.key, payload.name or payload.computation.key,
        payload.profile, payload.at_ms, payload.sequence, payload.kind == "entered", member, payload.absorbed,
        payload.is_journey,
    )  # fmt: skip


def tell(draft: Draft, told: Told, now_ms: int) -> bool:
    """Put down what a payload says; False where something newer is known of its profile.

    A profile that leaves takes all with it that it stood for, whomever its payload names: what identifies somebody may
    have changed since. An entry goes when nobody stands for it any more.
    """
    for part in told.absorbed:
        _absorb(draft, told.list, part)
    known = draft.through(told.list, told.profile)
    if known is not None and (told.at_ms, told.sequence) < (known.at_ms, known.sequence):
        return False
    if not told.entered:
        if not told.stays:
            _leave(draft, told.list, told.profile)
        return True
    if told.member is None:
        return True
    _ensure_list(draft, told, now_ms)
    id_ = entry_id(told.member)
    through = known or Through(told.at_ms, told.sequence, [])
    through.at_ms, through.sequence = told.at_ms, told.sequence
    if id_ not in through.entries:
        through.entries.append(id_)
    draft.put_through(told.list, told.profile, through)
    _want(draft, told, told.member, id_)
    return True


def _want(draft: Draft, told: Told, member: Member, id_: bytes) -> None:
    entry = draft.entry(told.list, id_) or Entry(member.key, member.group, member.cells, [])
    if not entry.by or entry.cells != member.cells:
        entry.refused, entry.again = "", False  # another request than the one that was refused
    entry.cells = member.cells
    if told.profile not in entry.by:
        entry.by.append(told.profile)
    draft.put_entry(told.list, id_, entry)


def _leave(draft: Draft, list_: bytes, profile: str) -> None:
    through = draft.through(list_, profile)
    if through is None:
        return
    draft.put_through(list_, profile, None)
    for id_ in through.entries:
        entry = draft.entry(list_, id_)
        if entry is None or profile not in entry.by:
            continue
        entry.by.remove(profile)
        if not entry.by:
            entry.refused, entry.again = "", False
        draft.put_entry(list_, id_, entry)


def _absorb(draft: Draft, list_: bytes, profile: str) -> None:
    """It stands for nobody any more, whatever is still told of it: its last words may be said twice, and late."""
    known = draft.through(list_, profile)
    if known is None or known.at_ms < NEVER_MS:
        _leave(draft, list_, profile)
        draft.put_through(list_, profile, Through(NEVER_MS, 0, []))


def _ensure_list(draft: Draft, told: Told, now_ms: int) -> None:
    kept = draft.kept_list(told.list)
    if kept is None:
        kept = KeptList(told.audience, told.name, now_ms)
    elif kept.name == told.name:
        return
    kept.name = told.name  # for a list that has not been made yet; no list there is renamed
    draft.put_list(told.list, kept)
