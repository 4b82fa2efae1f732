"""A step over the table: reads see what the step has written, and all of it leaves at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.activation.lists.state import (
    ADD,
    ENTRY,
    JOB,
    LIST,
    OPEN,
    PROFILE,
    QUEUE,
    REMOVE,
    Accepted,
    Entry,
    KeptList,
    OnItsWay,
    Through,
    accepted_of,
    encode,
    entry_key,
    entry_of,
    list_of,
    on_its_way_of,
    queue_key,
    through_of,
)

LOG_ORDER = (ENTRY, LIST, PROFILE, JOB, OPEN)
JOBS_MAX = 100_000


class Table(Protocol):
    """What is read of the store."""

    def get(self, key: bytes) -> bytes | None: ...

    def keys(self, prefix: bytes, after: bytes, limit: int) -> Sequence[bytes]:
        """Keys that begin so and are greater than `after`, in order."""
        ...


class Draft:
    """One step's reads and writes."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.writes: dict[bytes, bytes | None] = {}
        """For the store, in one atomic batch; None deletes."""

    @property
    def changelog(self) -> list[tuple[bytes, bytes | None]]:
        """Those of them that cannot be made anew, in an order of which any beginning can stand alone.

        A crash may leave the rest unwritten. That a profile left comes after the entries that it stood for, else nobody
        would look at them again; that a request is no longer on its way comes last of all.
        """
        kept = ((key, value) for key, value in self.writes.items() if not key.startswith(QUEUE))
        return sorted(kept, key=lambda record: LOG_ORDER.index(record[0][:2]))

    def kept_list(self, list_: bytes) -> KeptList | None:
        value = self._get(LIST + list_)
        return list_of(value) if value is not None else None

    def put_list(self, list_: bytes, kept: KeptList) -> None:
        self.writes[LIST + list_] = encode(kept)

    def entry(self, list_: bytes, id_: bytes) -> Entry | None:
        value = self._get(entry_key(list_, id_))
        return entry_of(value) if value is not None else None

    def put_entry(self, list_: bytes, id_: bytes, entry: Entry) -> None:
        """The entry and its place in the queue."""
        self.writes[entry_key(list_, id_)] = None if entry.gone else encode(entry)
        self.writes |= queue_writes(list_, id_, entry)

    def through(self, list_: bytes, profile: str) -> Through | None:
        value = self._get(PROFILE + list_ + b"|" + profile.encode())
        return through_of(value) if value is not None else None

    def put_through(self, list_: bytes, profile: str, through: Through | None) -> None:
        self.writes[PROFILE + list_ + b"|" + profile.encode()] = encode(through) if through is not None else None

    def on_its_way(self, list_: bytes) -> OnItsWay | None:
        value = self._get(OPEN + list_)
        return on_its_way_of(value) if value is not None else None

    def put_on_its_way(self, list_: bytes, sent: OnItsWay | None) -> None:
        self.writes[OPEN + list_] = encode(sent) if sent is not None else None

    def accepted(self, list_: bytes, job: str) -> Accepted | None:
        value = self._get(_job_key(list_, job))
        return accepted_of(value) if value is not None else None

    def put_accepted(self, list_: bytes, job: str, accepted: Accepted | None) -> None:
        self.writes[_job_key(list_, job)] = encode(accepted) if accepted is not None else None

    def jobs(self, list_: bytes) -> list[str]:
        """Whose members are known. Not those that this step has put down."""
        prefix = JOB + list_ + b"|"
        return [key[len(prefix) :].decode() for key in self._table.keys(prefix, b"", JOBS_MAX)]

    def queued(self, list_: bytes, after: bytes, limit: int, only: bytes = b"") -> list[bytes]:
        """Places in the queue (what is wanted, then the entry), in order. Not those that this step has made."""
        prefix = QUEUE + list_ + b"|"
        found = self._table.keys(prefix + only, prefix + after if after else b"", limit)
        return [key[len(prefix) :] for key in found]

    def entries(self, list_: bytes, after: bytes, limit: int) -> list[bytes]:
        """Ids of entries, in order."""
        prefix = ENTRY + list_ + b"|"
        found = self._table.keys(prefix, prefix + after if after else b"", limit)
        return [key[len(prefix) :] for key in found]

    def lists(self) -> list[bytes]:
        """Every list of the destination."""
        found = self._table.keys(LIST, b"", LISTS_MAX)
        fresh = (key for key, value in self.writes.items() if key.startswith(LIST) and value is not None)
        return sorted(key[len(LIST) :] for key in {*found, *fresh})

    def _get(self, key: bytes) -> bytes | None:
        return self.writes[key] if key in self.writes else self._table.get(key)


LISTS_MAX = 100_000


def _job_key(list_: bytes, job: str) -> bytes:
    return JOB + list_ + b"|" + job.encode()


def queue_writes(list_: bytes, id_: bytes, entry: Entry) -> dict[bytes, bytes | None]:
    """Where the entry has to be in the queue, and where not."""
    what = entry.queue()
    return {queue_key(list_, id_, each): b"" if each == what else None for each in (ADD, REMOVE)}


def restored(records: Sequence[tuple[bytes | None, bytes | None]]) -> dict[bytes, bytes | None]:
    """What records of the changelog are in the store, the queue's places too."""
    writes: dict[bytes, bytes | None] = {}
    for key, value in records:
        if key is None:
            continue
        writes[key] = value
        if key.startswith(ENTRY):
            list_, _, id_ = key[len(ENTRY) :].partition(b"|")
            writes |= (
                queue_writes(list_, id_, entry_of(value))
                if value is not None
                else {queue_key(list_, id_, each): None for each in (ADD, REMOVE)}
            )
    return writes
