"""The records of `profiles.in`: everything that changes a profile. Keyed by profile; JSON values with a `kind`.

| kind | fields | key |
|---|---|---|
| event | `at`: when `events.raw` got it, ms; `id`: its messageId, else its position; `message`: as it came | profile |
| timer | `due`: the instant that has come, ms | profile |
| refresh | `at`: the instant that has come, ms | profile, to be evaluated by the definitions in force |
| catalog | `catalog`: every definition and subscription, in force from here on | none |
"""

from __future__ import annotations

import orjson

from app.definitions.model import Catalog


def event(at_ms: int, id_: str, raw: bytes) -> bytes:
    """An event's value; the message's own bytes go in as they came, so they are parsed once less."""
    return b'{"kind":"event","at":%d,"id":%b,"message":%b}' % (at_ms, orjson.dumps(id_), raw)


def timer(due_ms: int) -> bytes:
    """A timer's value."""
    return b'{"kind":"timer","due":%d}' % due_ms


def refresh(at_ms: int) -> bytes:
    """A refresh's value."""
    return b'{"kind":"refresh","at":%d}' % at_ms


def catalog(catalog: Catalog) -> bytes:
    """A catalogue's value."""
    return orjson.dumps({"kind": "catalog", "catalog": catalog})
