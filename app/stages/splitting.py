"""Splits: one identifier leaves a profile and makes one of its own, each with the events that are its.

    link ──┬─ part ───► profile: parks what comes ··· import (what is left of it) ─► in its place; then what it parked
           └─ absorb ─► the new profile: waits ······ import (what was taken out)  ─► as in a merge

A state cannot be subtracted from, so both are folded anew from the log (`app.stages.refold`) by the worker that has the
profile, for as long as the partition's state says that the split is under way. What reaches the profile later and names
the identifier is passed on: it belongs to whom the identifier makes now.
"""

from __future__ import annotations

from app.identity.regulations import identifier_hash
from app.profiles.merging import Merging
from app.stages.envelope import Absorb, Body, Part
from app.stages.under_way import LEFT, UnderWay, left_of

_MARK, _TAKEN = "spl_", "/taken"


def taken_of(split_id: str) -> str:
    """By what name the new profile waits for what was taken out."""
    return f"{split_id}{_TAKEN}"


def is_taken(name: str) -> bool:
    """Whether under that name something came that was taken out."""
    return name.startswith(_MARK) and name.endswith(_TAKEN)


def family(profile: str, merging: Merging | None) -> list[str]:
    """A profile and all that became part of it: under their names its events are in the log."""
    absorbed = merging.absorbed if merging is not None else ()
    return [profile, *(each for each in absorbed if not each.startswith(_MARK))]


def is_under_way(merging: Merging) -> bool:
    """Whether the profile waits for what is left of it, and for nothing else: what left has a profile of its own."""
    return len(merging.waiting) == 1 and merging.waiting[0].startswith(_MARK) and merging.waiting[0].endswith(LEFT)


def begin(key: bytes, merging: Merging, offset: int, part: Part) -> UnderWay | None:
    """The profile waits from here on; None where it has, or has had, the split already."""
    name = left_of(part.id)
    if name in merging.waiting or name in merging.absorbed:
        return None
    merging.parted[identifier_hash(part.ids[0])] = part.into, part.number
    merging.waiting.append(name)
    merging.is_parting = True
    return UnderWay(key.decode(), offset, part)


def brings_back(body: Body, key: bytes) -> bool:
    """Whether somebody who has left may be back with this: a merge, or a part that leads to the profile itself."""
    return type(body) is Absorb or (type(body) is Part and body.into.encode() == key)


def came_back(merging: Merging, part: Part) -> bool:
    """An identifier is the profile's again, as a new one: whom it had made was erased. Gives whether it had left."""
    hashed = identifier_hash(part.ids[0])
    if merging.parted.pop(hashed, None) is None:
        return False
    merging.since[hashed] = part.at
    return True
