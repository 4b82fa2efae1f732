"""The order to mend a list: who is missing at the vendor is put on again, and who came back is taken off again.

It is a record of the destination's topic, behind what was told before, so that the one who writes the table carries it
out. By then people may have come and gone; so it changes only what is said of the vendor, never who is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from app.activation.lists.draft import Draft
from app.activation.lists.state import Entry, Has, entry_id
from app.activation.lists.vendor import Member

MEMBERS_MAX = 500
"""Of one record."""

Named = tuple[str, str, tuple[str, ...]]
"""Key, group, cells."""


class Repair(msgspec.Struct, frozen=True, tag_field="kind", tag="repair"):
    """One record's part of it."""

    audience: str
    """The list's: its id."""
    missing: list[Named] = []
    """The vendor does not show them, though we put them on."""
    back: list[Named] = []
    """The vendor shows them, though we put them on and took them off."""


def repairs(list_: bytes, missing: Sequence[Entry], back: Sequence[Entry]) -> Iterator[bytes]:
    """The records' values."""
    for first in range(0, max(len(missing), len(back)), MEMBERS_MAX):
        part = slice(first, first + MEMBERS_MAX)
        yield msgspec.json.encode(
            Repair(list_.decode(), [_named(each) for each in missing[part]], [_named(each) for each in back[part]])
        )


def read_repair(value: bytes | None) -> Repair | None:
    """None for a record that is something else."""
    if value is None or not value.startswith(b'{"kind":"repair"'):
        return None
    try:
        return _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def mend(draft: Draft, repair: Repair, *, additive_only: bool) -> None:
    """Put down what the vendor has, as the order says; the list's next update sends what follows from that."""
    list_ = repair.audience.encode()
    if draft.kept_list(list_) is None:
        return
    for key, group, cells in repair.missing:
        id_ = entry_id(Member(key, cells, group))
        entry = draft.entry(list_, id_)
        if entry is not None and entry.has is Has.YES:
            entry.has, entry.sent = Has.NOT, ()
            draft.put_entry(list_, id_, entry)
    for key, group, cells in () if additive_only else repair.back:
        id_ = entry_id(Member(key, cells, group))
        if draft.entry(list_, id_) is None:
            draft.put_entry(list_, id_, Entry(key, group, cells, [], Has.DOUBT, cells))


def _named(entry: Entry) -> Named:
    return entry.key, entry.group, entry.sent or entry.cells


_DECODER = msgspec.json.Decoder(Repair)
