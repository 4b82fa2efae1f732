"""Recounts: two profiles that become one have counted messages with the same ids, each of which counts once.

    merge ──► loser: import ─► winner: keeps it, waits on ··· import (cells without what counted twice) ─► one of both

What two have counted is in their cells, and cannot be taken out of them. So before the winner is one with the other,
those cells are made anew from the log (`app.stages.recount`), by the worker that has the winner, as with a split.
Nobody sees the wrong count meanwhile. Others whose import comes while a recount is under way have their turn behind it.
"""

from __future__ import annotations

from app.profiles.merging import Merging
from app.profiles.state import Profile
from app.stages.envelope import Import, decode
from app.stages.under_way import RECOUNT, Recount, UnderWay, recount_of


def is_under_way(merging: Merging) -> bool:
    """Whether the profile waits for a recount."""
    return any(name.startswith(RECOUNT) for name in merging.waiting)


def begin(key: bytes, merging: Merging, offset: int, came: Import, loser: Profile) -> UnderWay:
    """The profile waits on, for what it and another have counted together; the other's import stays where it is."""
    profile = key.decode()
    wait_for(merging, came.loser, loser)
    merging.waiting.append(recount_of(profile, came.loser))
    return UnderWay(profile, offset, Recount(came.at, came.loser))


def wait_for(merging: Merging, loser: str, state: Profile) -> None:
    """Another's import has come and has its turn later. Whoever that waits for is on the way here from now on, and is
    not to be held up when it comes."""
    theirs = state.merging.waiting if state.merging is not None else ()
    merging.waiting += [each for each in (loser, *theirs) if each not in (*merging.waiting, *merging.absorbed)]


def give_up(key: bytes, merging: Merging) -> list[str]:
    """The profile becomes part of another, which sees for itself; gives the recounts that are over by that."""
    names = [name for name in merging.waiting if name.startswith(RECOUNT)]
    for name in names:
        merging.waiting.remove(name)
        merging.pieces.pop(name, None)
    return names


def next_whole(merging: Merging) -> str | None:
    """The next one whose import has come, all of it, and that is not part of the profile yet."""
    for name, pieces in list(merging.pieces.items()):
        if name in merging.absorbed:
            del merging.pieces[name]  # sent twice, and came while the recount was under way
        elif len(pieces) == import_of(pieces[0]).parts:
            return name
    return None


def import_of(value: bytes) -> Import:
    """The import in a record's value."""
    body = decode(value)
    assert type(body) is Import, "only imports are kept as pieces"
    return body
