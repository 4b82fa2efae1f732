"""The records of `regulations`: what was asked for, and the parts of which a receipt is put together. JSON values.

| kind | key | fields |
|---|---|---|
| requested | id`/requested` | `id`, `type`, `at` ms; `subject`: a hash of the identifier |
| decided | id`/decided` | `id`, `type`, `at`; how many identifiers are `suppressed` by it, `lifted`, `erased`;
`profiles`: those that are erased, one and what was merged into it |
| erased | id`/profile/`profile | `id`, `profile`, `partition`; `redirect`: it was part of another already; how many
`identifiers`, `traits`, `cells`, `parts`, `timers`, `changelog` records, `changes` were erased, deleted and sent;
`asked`: destination → how many deletes its sender has to settle; `told`: destinations without a sender, whose topics
have the deletes |
| failed | id`/profile/`profile | `id`, `profile`, `reason` |
| settled | id`/payload/`payload | `id`, `payload`, `profile`, `destination`; `outcome`: delivered, refused,
not_supported or no_identifier; `dropped`: payloads of the profile that were no longer sent; `reason` of a refusal |

The topic is compacted. Every record follows from the record that caused it, so a repeat after a crash says the same
under the same key. Nothing in it is anybody's data: identifiers are hashes, and erased profiles' ids lead nowhere.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from app.identity.regulations import RegulationType
from app.stages.envelope import Instant
from app.stages.records import OutRecord
from app.topics import JSON_HEADERS

SettledOutcome: TypeAlias = Literal["delivered", "refused", "not_supported", "no_identifier"]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class Requested(msgspec.Struct, tag_field="kind", tag="requested", frozen=True):
    id: str
    type: RegulationType
    at: Instant
    subject: str


class Decided(msgspec.Struct, tag_field="kind", tag="decided", frozen=True):
    id: str
    type: RegulationType
    at: Instant
    suppressed: Count = 0
    lifted: Count = 0
    erased: Count = 0
    profiles: list[str] = []


class Erased(msgspec.Struct, tag_field="kind", tag="erased", frozen=True):
    id: str
    profile: str
    partition: Count
    redirect: bool = False
    identifiers: Count = 0
    traits: Count = 0
    cells: Count = 0
    parts: Count = 0
    timers: Count = 0
    changelog: Count = 0
    changes: Count = 0
    asked: dict[str, int] = {}
    told: list[str] = []


class Failed(msgspec.Struct, tag_field="kind", tag="failed", frozen=True):
    id: str
    profile: str
    reason: str


class Settled(msgspec.Struct, tag_field="kind", tag="settled", frozen=True):
    id: str
    payload: str
    profile: str
    destination: str
    outcome: SettledOutcome
    dropped: Count = 0
    reason: str = ""


Part: TypeAlias = Requested | Decided | Erased | Failed | Settled

_decoder: msgspec.json.Decoder[Part] = msgspec.json.Decoder(Part)


def decode(value: bytes) -> Part:
    """What a record says.

    Raises:
        ValueError: It is none of the kinds above.
    """
    return _decoder.decode(value)


def key(part: Part) -> bytes:
    """The key under which a part is kept."""
    match part:
        case Requested() | Decided():
            place = type(part).__name__.lower()
        case Erased() | Failed():
            place = f"profile/{part.profile}"
        case Settled():
            place = f"payload/{part.payload}"
    return f"{part.id}/{place}".encode()


def record(part: Part) -> OutRecord:
    """The record of a part."""
    return key(part), msgspec.json.encode(part, order="deterministic"), JSON_HEADERS
