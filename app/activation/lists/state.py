"""What the table of a list destination holds, and under which keys.

| key | value | in the changelog |
|---|---|---|
| `l\\|` list | what the list is called here and there, and its last runs | yes |
| `e\\|` list `\\|` entry | a member: what is wanted, what the vendor has | yes |
| `p\\|` list `\\|` profile | through whom somebody is a member, until the profile leaves | yes |
| `o\\|` list | the members of a request that may be on its way | yes, before the request |
| `j\\|` list `\\|` job | the members of a request whose end the vendor has yet to tell | yes |
| `q\\|` list `\\|` `+` or `-` entry | nothing; who differs, in the order of sending | no: follows from `e\\|` |

A list is known by its audience's id (`aud_…`), an entry by its group and a hash of the member's key. Values are
MessagePack.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b

import msgspec

from app.activation.lists.vendor import Member

LIST, ENTRY, PROFILE, OPEN, JOB, QUEUE = b"l|", b"e|", b"p|", b"o|", b"j|", b"q|"
ADD, REMOVE = b"+", b"-"
"""In the queue; additions go first."""
RUNS_KEPT = 20


class Has(IntEnum):
    """Whether the vendor has an entry by our own doing."""

    NOT = 0
    DOUBT = 1
    """A request may or may not have reached it."""
    YES = 2


class Entry(msgspec.Struct, array_like=True):
    """One member of one list."""

    key: str
    group: str
    cells: tuple[str, ...]
    """As last told."""
    by: list[str]
    """Profiles through whom he is wanted; empty: not wanted."""
    has: Has = Has.NOT
    sent: tuple[str, ...] = ()
    """As the vendor may have it: what is taken off is what was put on."""
    refused: str = ""
    """Why the vendor does not take the change that is wanted; not tried again until something else is wanted."""
    refused_ms: int = 0
    again: bool = False
    """The last request about him was accepted and came to nothing: this is the second try, and the last one."""

    def queue(self) -> bytes | None:
        """What has to be sent: ADD, REMOVE or nothing."""
        if self.refused:
            return None
        if self.by:
            return ADD if self.has is not Has.YES else None
        return REMOVE if self.has is not Has.NOT else None

    @property
    def gone(self) -> bool:
        """Neither wanted nor there: nothing to remember."""
        return not self.by and self.has is Has.NOT


class Through(msgspec.Struct, array_like=True):
    """A profile that is in the audience, and the entries that it stands for."""

    at_ms: int
    sequence: int
    """The newest change that was told of it."""
    entries: list[bytes]


class Run(msgspec.Struct):
    """One update of a list."""

    started_ms: int
    ended_ms: int = 0
    status: str = "running"
    """running, done, failed."""
    added: int = 0
    removed: int = 0
    refused: dict[str, int] = {}
    """Reason → members."""
    requests: int = 0
    reason: str = ""
    """Why it failed."""


class Job(msgspec.Struct, array_like=True):
    """A request that the vendor has accepted, and that it works on for hours."""

    id: str
    """The vendor's."""
    run_ms: int
    """When the run began that it was a part of."""
    at_ms: int
    """When it was accepted, or asked about last."""
    asked: int = 0
    """How often."""


class KeptList(msgspec.Struct):
    """One list of the destination."""

    audience: str
    """Its key."""
    name: str
    seen_ms: int
    """When its first member was told."""
    external: str = ""
    """The vendor's id, once it is known."""
    forgetting: bool = False
    """The vendor has lost it, and what is held of it is being forgotten."""
    runs: list[Run] = []
    """The newest last."""
    jobs: list[Job] = []
    """The oldest first."""

    @property
    def run(self) -> Run | None:
        """The newest, if it is under way."""
        return self.runs[-1] if self.runs and self.runs[-1].status == "running" else None


class OnItsWay(msgspec.Struct, array_like=True):
    """A request of which the answer is not known."""

    add: bool
    members: list[tuple[str, str, tuple[str, ...]]]
    """Key, group, cells: an entry may be gone by the time that the answer comes."""


class Accepted(msgspec.Struct, array_like=True):
    """Whom a job is about."""

    add: bool
    entries: list[bytes]
    members: list[tuple[str, str, tuple[str, ...]]]
    """The same as key, group, cells where they are to be taken off: by then nothing else is left of them."""
    again: list[int]
    """Which of them are on their second try."""


def entry_id(member: Member) -> bytes:
    """Sorts by group."""
    return member.group.encode() + b":" + blake2b(member.key.encode(), digest_size=16).digest()


def entry_key(list_: bytes, id_: bytes) -> bytes:
    return ENTRY + list_ + b"|" + id_


def queue_key(list_: bytes, id_: bytes, what: bytes) -> bytes:
    return QUEUE + list_ + b"|" + what + id_


encode = msgspec.msgpack.Encoder().encode
entry_of = msgspec.msgpack.Decoder(Entry).decode
through_of = msgspec.msgpack.Decoder(Through).decode
list_of = msgspec.msgpack.Decoder(KeptList).decode
on_its_way_of = msgspec.msgpack.Decoder(OnItsWay).decode
accepted_of = msgspec.msgpack.Decoder(Accepted).decode
