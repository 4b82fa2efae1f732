"""What is being folded anew from the log, as the state of a partition has it: splits, and recounts of merges.

A cell cannot be subtracted from, so its profile waits until a reader of the log has made it anew and has appended that
as an import. For as long as the state says so, whoever has the partition carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from app.profiles.store import SPLIT
from app.stages.envelope import Part

LEFT = "/left"
"""What the names end with under which what a split has left is waited for."""
RECOUNT = "rec_"
"""What those of recounts begin with."""


class Recount(msgspec.Struct, tag_field="kind", tag="recount"):
    """Two profiles that become one have counted messages with the same ids (`app.stages.recounting`)."""

    at: int
    """When they became one, ms."""
    loser: str
    """The one whose import waits at the other."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The value of such a key."""

    profile: str
    """Who waits for it."""
    offset: int
    """Of the record in `profiles.in` that began it: what came before that is folded anew."""
    asked: Part | Recount

    @property
    def id(self) -> str:
        """What its key ends with."""
        return self.asked.id if isinstance(self.asked, Part) else recount_of(self.profile, self.asked.loser)

    @property
    def waits_for(self) -> str:
        """By what name the profile waits for it, until it is over."""
        return left_of(self.id) if isinstance(self.asked, Part) else self.id

    def encode(self) -> bytes:
        return msgspec.msgpack.encode([self.profile, self.offset, self.asked])

    @staticmethod
    def decode(data: bytes) -> UnderWay:
        profile, offset, asked = msgspec.msgpack.decode(data, type=tuple[str, int, Part | Recount])
        return UnderWay(profile, offset, asked)


def key_of(id_: str) -> bytes:
    """The key of what is under way in a partition."""
    return SPLIT + id_.encode()


def left_of(split_id: str) -> str:
    """By what name a profile waits for what is left of it."""
    return f"{split_id}{LEFT}"


def recount_of(profile: str, loser: str) -> str:
    """By what name a profile waits for what it and another have counted together."""
    return f"{RECOUNT}{profile}/{loser}"
