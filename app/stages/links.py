"""The records of `identity.links`: JSON values with a `kind`, no keys.

| kind | fields |
|---|---|
| link | `partition`, `offset`: where the message stands in `events.raw`; `at`: when that got it, ms; `id`, `type`,
`name`: as in `profiles.in`; `ids`: its usable identifiers as [type, value], the strongest first; `previous`: an alias's
previousId; `again`: whether it may have been passed on before; `message`: as it came |
| rules | `rules`: what is in force from here on |
| split | `id`: of the request, never used twice; `ids`: the one identifier that is to be taken out of its profile |
| regulation | `id`; `type`: as in `app.identity.regulations`; `at`: when it was asked for, ms; `subject`: an identifier
as [type, value] |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec
import orjson

from app.identity.regulations import RegulationType
from app.identity.rules import Identifier, LinkRules
from app.stages.envelope import Instant

Position: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
SplitId: TypeAlias = Annotated[str, msgspec.Meta(pattern="^spl_[0-9a-f]{24}$")]


class Link(msgspec.Struct, tag_field="kind", tag="link"):
    partition: Position
    offset: Position
    at: Instant
    id: str
    type: str
    ids: list[tuple[str, str]]
    message: msgspec.Raw
    name: str | None = None
    previous: str | None = None
    again: bool = False


class RulesChange(msgspec.Struct, tag_field="kind", tag="rules"):
    rules: LinkRules


class Split(msgspec.Struct, tag_field="kind", tag="split"):
    id: SplitId
    ids: Annotated[list[tuple[str, str]], msgspec.Meta(min_length=1, max_length=1)]


class Regulation(msgspec.Struct, tag_field="kind", tag="regulation"):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    type: RegulationType
    at: Instant
    subject: tuple[str, str]


Body: TypeAlias = Link | RulesChange | Split | Regulation

_decoder: msgspec.json.Decoder[Body] = msgspec.json.Decoder(Body)


def decode(value: bytes | None) -> Body:
    """What a record says.

    Raises:
        ValueError: It is none of the kinds above; where and why is in the text.
    """
    body = _decoder.decode(value or b"")
    if type(body) is Link and not body.ids and body.previous is None:
        raise ValueError("a message without any identifier is nobody's")
    return body


def link(
    partition: int, offset: int, at_ms: int, id_: str, kind: str, name: str | None, ids: Sequence[Identifier],
    previous: str | None, raw: bytes, *, again: bool = False,
) -> bytes:  # fmt: skip
    """A link request's value; the message's own bytes go in as they came."""
    dumps = orjson.dumps
    return (
        b'{"kind":"link","partition":%d,"offset":%d,"at":%d,"id":%b,"type":"%b","name":%b,"ids":%b,"previous":%b,'
        b'%b"message":%b}'
    ) % (
        partition, offset, at_ms, dumps(id_), kind.encode(), dumps(name), dumps(ids), dumps(previous),
        b'"again":true,' if again else b"", raw,
    )  # fmt: skip


def regulation(id_: str, kind: RegulationType, at_ms: int, subject: Identifier) -> bytes:
    """A regulation's value."""
    return msgspec.json.encode(Regulation(id_, kind, at_ms, subject))


def rules(rules: LinkRules) -> bytes:
    """A change of rules' value."""
    return msgspec.json.encode(RulesChange(rules), order="deterministic")


def split(id_: str, identifier: Identifier) -> bytes:
    """A split's value."""
    return msgspec.json.encode(Split(id_, [identifier]))
