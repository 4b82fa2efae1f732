"""Regulations: what a person, or the law for them, may ask for, by any of their identifiers; and how it is remembered.

| type | what there is of the person | what comes of them from then on |
|---|---|---|
| SUPPRESS_ONLY | stays | is dropped |
| SUPPRESS_WITH_DELETE | is erased | is dropped |
| DELETE_ONLY | is erased | makes a new profile |
| UNSUPPRESS | stays | comes in again |

All identifiers of the person's profile are meant, whichever was named: nobody is to come in by another of their names.
Suppression has to be remembered for good, and an erased identifier must not be: so what is kept is a hash of it. The
same hash is kept of one that was taken out of a profile, by that profile: it may be erased, too.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b

import msgspec

from app.identity.rules import Identifier

HASH_BYTES = 16
VERSION = 1
_PERSON = b"suppression"  # so that it is no profile's id; in stores since suppression was all that it was for


class RegulationType(StrEnum):
    """See the module."""

    SUPPRESS_ONLY = "SUPPRESS_ONLY"
    SUPPRESS_WITH_DELETE = "SUPPRESS_WITH_DELETE"
    DELETE_ONLY = "DELETE_ONLY"
    UNSUPPRESS = "UNSUPPRESS"

    @property
    def suppresses(self) -> bool:
        return self in (RegulationType.SUPPRESS_ONLY, RegulationType.SUPPRESS_WITH_DELETE)

    @property
    def deletes(self) -> bool:
        return self in (RegulationType.SUPPRESS_WITH_DELETE, RegulationType.DELETE_ONLY)


def identifier_hash(identifier: Identifier) -> bytes:
    """16 bytes by which an identifier is recognised, and from which it cannot be read."""
    return blake2b(f"{identifier[0]}:{identifier[1]}".encode(), digest_size=HASH_BYTES, person=_PERSON).digest()


class Decision(msgspec.Struct, array_like=True):
    """What was made of one regulation, and what of it is in force."""

    version: int
    w: int
    """The offset in `identity.links` that changed it last."""
    type: RegulationType
    hashes: list[bytes]
    """The identifiers that are suppressed by it. An identifier is suppressed by one regulation at a time."""
    profiles: list[str]
    """The profiles that were erased, whose ids are never given again: one, and all that it had taken in."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Decision)


def encode(decision: Decision) -> bytes:
    """A decision's bytes."""
    return _encoder.encode(decision)


def decode(data: bytes) -> Decision:
    """The decision in these bytes.

    Raises:
        msgspec.DecodeError: They are none.
    """
    return _decoder.decode(data)
