"""Two profiles → one: what is remembered of both, as if one had had all their events.

The order of merges and who wins do not matter to what comes of them, but for the order of identifiers and for two
records of the same instant and the same order of arrival, which can only come of two partitions: there the winner's
stays.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.profiles.belonging import Belonging
from app.profiles.cells import CellKind
from app.profiles.state import Cell, Profile, is_later


def merge(winner: Profile, loser: Profile, kinds: Mapping[str, CellKind], now_ms: int) -> None:
    """Put what a profile remembers into another: cells, custom traits, identifiers.

    The winner's clock is at now, its timer armed for the next turn of its cells; what definitions compare with the
    present by themselves has to be evaluated, as all of its answers have to. What was emitted, which records were
    applied and where the store has the parts stays as it is.

    Args:
        loser: Not used any more: parts of it are in the winner now.
        kinds: Of the cells that are needed, by id. Others are dropped.
        now_ms: Not before the clock of either.
    """
    assert now_ms >= max(winner.clock, loser.clock), "time never goes back for a profile"
    winner.cells = _cells(winner.cells, loser.cells, kinds, now_ms)
    # A new mapping: changes that were made before hold the one that was.
    traits = winner.traits = winner.traits.copy()
    for key, written in loser.traits.items():
        if key not in traits or is_later(written, traits[key]):
            traits[key] = written
    winner.identifiers += [each for each in loser.identifiers if each not in winner.identifiers]
    winner.clock = now_ms
    flips = [kinds[cell_id].next_flip_ms(held, now_ms) for cell_id, held in winner.cells.items()]
    winner.armed_due = min(filter(None, flips), default=0)


def recounted(winner: Profile, loser: Profile, both: Profile) -> None:
    """What two profiles that become one have counted together, for some cells: these take the place of both's.

    Args:
        both: Has those cells; None where nothing is left of one. Not used any more.
    """
    _replace(winner.cells, loser.cells, both.cells)
    if both.belonging is None:
        return
    winner.belonging = winner.belonging or Belonging()
    loser.belonging = loser.belonging or Belonging()
    for tag, cells in both.belonging.cells.items():
        _replace(winner.belonging.cells.setdefault(tag, {}), loser.belonging.cells.get(tag, {}), cells)


def _replace(ours: dict[str, Cell], theirs: dict[str, Cell], both: Mapping[str, Cell]) -> None:
    for cell_id, cell in both.items():
        theirs.pop(cell_id, None)
        if cell is None:
            ours.pop(cell_id, None)
        else:
            ours[cell_id] = cell


def _cells(
    ours: Mapping[str, Cell], theirs: Mapping[str, Cell], kinds: Mapping[str, CellKind], now_ms: int
) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for cell_id in dict.fromkeys((*ours, *theirs)):
        kind = kinds.get(cell_id)
        if kind is None:
            continue
        one, other = ours.get(cell_id), theirs.get(cell_id)
        if one is not None and other is not None:
            left = kind.merge(one, other, now_ms)
        else:
            left = kind.advance(one if one is not None else other, now_ms)
        if left is not None:
            found[cell_id] = left
    return found
