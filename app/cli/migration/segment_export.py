"""What Segment's Public API answers about audiences and computed traits, as far as a migration needs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from app.definitions.model import Kind
from app.errors import HeadwaterError
from app.events.values import Json

_SECTIONS: dict[str, Kind] = {
    "audiences": "audience",
    "audience": "audience",
    "computedTraits": "trait",
    "computedTrait": "trait",
}
_KEYS_SHOWN_MAX = 6


class ExportError(HeadwaterError):
    """The file is no export; the message names the place, as in `$[2].data.audiences[0].name`."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One audience or computed trait, as it was there."""

    kind: Kind | None
    """None where the file does not say: bodies of create calls look alike."""
    id: str
    key: str
    """Empty in the body of a create call."""
    name: str
    description: str
    enabled: bool
    scope: str
    """USERS, ACCOUNTS or LINKED; USERS where nothing is said."""
    query: str
    """Empty where the definition has none."""
    is_of_entities: bool
    """Whether it is about entities of a warehouse rather than profiles."""
    options: dict[str, Json]


@dataclass(slots=True)
class Export:
    items: list[Exported] = field(default_factory=list)
    announced: dict[Kind, int] = field(default_factory=dict)
    """How many there are in all, as the pages say."""


def read_export(content: bytes) -> Export:
    """The export of a file: one object or page, or a list of them, with or without `data` around it.

    Raises:
        ExportError: at the first thing that cannot be understood.
    """
    try:
        document: Json = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ExportError(f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    export = Export()
    for item in _items(document, "$", None, export):
        export.items.append(item)
    return export


def _items(value: Json, place: str, kind: Kind | None, export: Export) -> Iterator[Exported]:
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _items(each, f"{place}[{index}]", kind, export)
        return
    if not isinstance(value, dict):
        raise ExportError(f"{place}: found {_shown(value)}, expected an audience, a computed trait or a page of them")
    if kind is not None or "definition" in value:
        yield _item(value, place, kind)
        return
    sections = [name for name in _SECTIONS if name in value]
    if "data" not in value and not sections:
        raise ExportError(f"{place}: found {_shown(value)}, expected an audience, a computed trait or a page of them")
    if "data" in value:
        yield from _items(value["data"], f"{place}.data", None, export)
    for name in sections:
        _count(value, _SECTIONS[name], export)
        yield from _items(value[name], f"{place}.{name}", _SECTIONS[name], export)


def _count(page: dict[str, Json], kind: Kind, export: Export) -> None:
    pagination = page.get("pagination")
    total = pagination.get("totalEntries") if isinstance(pagination, dict) else None
    if isinstance(total, int):
        export.announced[kind] = max(total, export.announced.get(kind, 0))


def _item(value: dict[str, Json], place: str, kind: Kind | None) -> Exported:
    definition = _object(value, "definition", place)
    at = f"{place}.definition"
    scope = _text(value, "audienceType", place) or _text(definition, "type", at)
    return Exported(
        kind="audience" if "audienceType" in value or "targetEntity" in definition else kind,
        id=_text(value, "id", place),
        key=_text(value, "key", place),
        name=_text(value, "name", place),
        description=_text(value, "description", place),
        enabled=value.get("enabled") is not False,
        scope=scope.upper() or "USERS",
        query=_text(definition, "query", at).strip(),
        is_of_entities=bool(_text(definition, "targetEntity", at)),
        options=_object(value, "options", place),
    )


def _object(value: dict[str, Json], name: str, place: str) -> dict[str, Json]:
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ExportError(f"{place}.{name}: found {_shown(found)}, expected an object")
    return found


def _text(value: dict[str, Json], name: str, place: str) -> str:
    found = value.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise ExportError(f"{place}.{name}: found {_shown(found)}, expected text")
    return found


def _shown(value: Json) -> str:
    if isinstance(value, dict):
        keys = ", ".join(list(value)[:_KEYS_SHOWN_MAX])
        return f"an object with {keys}" if keys else "an empty object"
    return "a list" if isinstance(value, list) else "null" if value is None else repr(value)[:60]
