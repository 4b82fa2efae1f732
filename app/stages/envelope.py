"""The records of `profiles.in`: everything that changes a profile. Keyed by profile; JSON values with a `kind`.

| kind | fields | key |
|---|---|---|
| event | `at`: when `events.raw` got it, ms; `id`: its messageId, else its position; `type`; `name`: what definitions
call it; `ids`: its identifiers as [type, value]; `message`: as it came | profile |
| timer | `due`: the instant that has come, ms | profile |
| refresh | `at`: the instant that has come, ms | profile, to be evaluated by the definitions in force |
| catalog | `catalog`: every definition and subscription, in force from here on | none |

What is asked of every event stands outside the message: most messages are never parsed a second time, because nothing
that is live looks at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec
import orjson

from app.definitions.model import Catalog

Instant: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000)]
"""ms since 1970, before the year 10,000: a later one could be neither written as text nor, for long, kept in a
profile's bytes."""


class Event(msgspec.Struct, tag_field="kind", tag="event"):
    at: Instant
    id: str
    type: str
    ids: list[tuple[str, str]]
    message: msgspec.Raw
    name: str | None = None


class Timer(msgspec.Struct, tag_field="kind", tag="timer"):
    due: Instant


class Refresh(msgspec.Struct, tag_field="kind", tag="refresh"):
    at: Instant


class CatalogChange(msgspec.Struct, tag_field="kind", tag="catalog"):
    catalog: Catalog


Body: TypeAlias = Event | Timer | Refresh | CatalogChange

_decoder: msgspec.json.Decoder[Body] = msgspec.json.Decoder(Body)


def decode(value: bytes | None) -> Body:
    """What a record says.

    Raises:
        ValueError: It is none of the kinds above; where and why is in the text.
    """
    return _decoder.decode(value or b"")


def event(at_ms: int, id_: str, kind: str, name: str | None, ids: Sequence[tuple[str, str]], raw: bytes) -> bytes:
    """An event's value; the message's own bytes go in as they came."""
    dumps = orjson.dumps
    return b'{"kind":"event","at":%d,"id":%b,"type":"%b","name":%b,"ids":%b,"message":%b}' % (
        at_ms, dumps(id_), kind.encode(), dumps(name), dumps(ids), raw,
    )  # fmt: skip


def timer(due_ms: int) -> bytes:
    """A timer's value."""
    return b'{"kind":"timer","due":%d}' % due_ms


def refresh(at_ms: int) -> bytes:
    """A refresh's value."""
    return b'{"kind":"refresh","at":%d}' % at_ms


def catalog(catalog: Catalog) -> bytes:
    """A catalogue's value."""
    return orjson.dumps({"kind": "catalog", "catalog": catalog})
