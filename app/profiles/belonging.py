"""What a user remembers of the accounts that it belongs to, and for those that it may come to belong to.

An account sees all events of its users, those from before they joined too. So a user keeps, of what accounts ask of
their users together, its own part, and hands it over when it joins: an event without `context.groupId` counts for every
account, one with it for that account only, so the cells are kept by that tag.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from zlib import compress, decompress, error

import msgspec

from app.profiles.cells import CellKind

Cells: TypeAlias = dict[str, Any]
"""Cell id → what it holds."""

UNTAGGED = ""
"""Of events without `context.groupId`; an empty one is none."""

_LEVEL = 1
_encoder = msgspec.msgpack.Encoder(decimal_format="string")


@dataclass(slots=True)
class Belonging:
    sent: int = 0
    """How many records it has sent to accounts: each has its number."""
    accounts: dict[str, list[Any]] = field(default_factory=dict)
    """By account that the user belongs to: [number of the last record that it has sent, {definition key → value}]."""
    last: dict[str, str] = field(default_factory=dict)
    """By the key of a definition of accounts: the account that told of it last."""
    cells: dict[str, Cells] = field(default_factory=dict)
    """By the events' tag: what accounts ask of their users together."""

    def to_list(self) -> list[Any]:
        return [self.sent, self.accounts, self.last, self.cells]

    def join(self, account: str) -> bool:
        """Whether that is new."""
        if account in self.accounts:
            return False
        self.accounts[account] = [0, {}]
        return True

    def only(self, accounts: Collection[str]) -> Belonging:
        """What of it concerns these accounts, and no events: of whom what belonged to them is told apart."""
        held = {each: [version, {**told}] for each, (version, told) in self.accounts.items() if each in accounts}
        tellers = {key: each for each, (_, told) in held.items() for key in told}
        last = {key: each if each in held else tellers[key] for key, each in self.last.items() if key in tellers}
        return Belonging(self.sent, held, last)

    def is_told(self, key: str) -> bool:
        """Whether any of its accounts is in an audience."""
        return any(told.get(key) is True for _, told in self.accounts.values())

    def last_told(self, key: str) -> Any:
        """The value of an account's trait; None where no account has told any."""
        account = self.last.get(key)
        return self.accounts[account][1].get(key) if account is not None else None

    def teller(self, key: str, value: Any) -> str:
        """An account that has told a value, the last to tell any if it has; empty for none."""
        last = self.last.get(key)
        if last is not None and self.accounts[last][1].get(key) == value:
            return last
        return next((each for each, (_, told) in self.accounts.items() if told.get(key) == value), last or "")

    def tell(self, account: str, version: int, values: Mapping[str, Any]) -> bool:
        """An account tells what it has become; whether that is no repeat."""
        held = self.accounts.get(account)
        if held is None or version <= held[0]:
            return False
        held[0] = version
        held[1].update(values)
        self.last.update(dict.fromkeys(values, account))
        return True

    def brought_along(self, account: str, kinds: Mapping[str, CellKind], now_ms: int) -> list[Cells]:
        """What the user remembers of events that count for an account."""
        kept = [self._advanced(tag, kinds, now_ms) for tag in (UNTAGGED, account)]
        return [cells for cells in kept if cells]

    def _advanced(self, tag: str, kinds: Mapping[str, CellKind], now_ms: int) -> Cells:
        """The cells of a tag without what is over, and without those that nobody asks for any more."""
        held = self.cells.get(tag, {})
        found = {id_: kinds[id_].advance(cell, now_ms) for id_, cell in held.items() if id_ in kinds}
        left = {id_: cell for id_, cell in found.items() if cell is not None}
        if left:
            self.cells[tag] = left
        else:
            self.cells.pop(tag, None)
        return left

    def keep(self, asked: Collection[str]) -> None:
        """Drop the cells that nobody asks for any more."""
        for tag, cells in list(self.cells.items()):
            left = {id_: cell for id_, cell in cells.items() if id_ in asked}
            if left:
                self.cells[tag] = left
            else:
                del self.cells[tag]

    def absorb(self, other: Belonging, kinds: Mapping[str, CellKind], now_ms: int) -> None:
        """Another profile has become part of this one. Nothing of it is used any more."""
        for account, told in other.accounts.items():
            held = self.accounts.get(account)
            if held is None or held[0] < told[0]:
                self.accounts[account] = told
        self.last = {**other.last, **self.last}
        for tag, cells in other.cells.items():
            merge_cells(self.cells.setdefault(tag, {}), cells, kinds, now_ms)


def merge_cells(held: Cells, others: Cells, kinds: Mapping[str, CellKind], now_ms: int) -> list[str]:
    """Put the cells of other events to those that are held; the ids of those that have changed."""
    changed: list[str] = []
    for id_, other in others.items():
        kind = kinds.get(id_)
        if kind is None:
            continue
        one = held.get(id_)
        left = kind.merge(one, other, now_ms) if one is not None else kind.advance(other, now_ms)
        if left is None:
            held.pop(id_, None)
        else:
            held[id_] = left
        changed.append(id_)
    return changed


def pack(cells: list[Cells]) -> bytes:
    """Cells as they go from a user to an account."""
    return compress(_encoder.encode(cells), _LEVEL) if cells else b""


def unpack(data: bytes) -> list[Cells]:
    """What `pack` has packed.

    Raises:
        ValueError: They are no cells.
    """
    try:
        return msgspec.msgpack.decode(decompress(data), type=list[dict[str, Any]]) if data else []
    except (error, msgspec.DecodeError) as problem:
        raise ValueError(f"cells that cannot be read: {problem}") from problem
