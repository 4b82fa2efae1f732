"""Exported definitions → ours, and what has no counterpart here, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from unicodedata import normalize

from app.cli.migration.segment_export import Export, Exported
from app.definitions.checker import references
from app.definitions.excerpt import excerpt
from app.definitions.model import Definition, Kind, Scope
from app.definitions.parser import parse
from app.definitions.review import review
from app.errors import DefinitionError
from app.events.values import Json
from app.settings.validation import schema

IDENTIFYING = ("user_id", "email", "android.idfa", "ios.idfa")
"""Members of an audience have one of these, there and here, unless it is said otherwise."""
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_KEY_LENGTH_MAX = 128
_OPTIONS_READ = ("includeHistoricalData", "includeAnonymousUsers", "filterByExternalIds")


@dataclass(frozen=True, slots=True)
class Carried:
    """A definition of ours, and what of the original is not in it."""

    definition: Definition
    description: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    key: str
    name: str
    reason: str
    """May have more lines: the query's line and its carets."""
    mendable: Carried | None = None
    """What it would be here; None where it has no query."""


@dataclass(slots=True)
class Migration:
    """In the export's order."""

    carried: list[Carried] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """About the export as a whole."""

    def of(self, kind: Kind) -> list[Carried]:
        return [each for each in self.carried if each.definition.kind == kind]


def migrate(export: Export) -> Migration:
    """All that can be carried over so that `headwater validate` accepts the result, and all that cannot."""
    done = Migration()
    renamed: set[str] = set()
    by_key: dict[str, Exported] = {}
    for position, item in enumerate(export.items, 1):
        key = _key(item, position)
        if key in by_key and by_key[key] == item:
            continue  # pages may overlap
        reason = _unfit(item) or (f"its key {key} is taken by {by_key[key].name!r}" if key in by_key else "")
        by_key.setdefault(key, item)
        if item.key not in ("", key):
            renamed.add(item.key)
        if reason:
            done.left_out.append(LeftOut(key, item.name, reason, _carried(item, key) if item.query else None))
        else:
            done.carried.append(_carried(item, key))
    _leave_out_refused(done, renamed)
    done.notes += _missing(export)
    return done


# ── one definition ────────────────────────────────────────────────────────────────────────────────────────────────


def _key(item: Exported, position: int) -> str:
    """The key there, where it can be one here; else one made of it, or of the name."""
    if _KEY.fullmatch(item.key) and len(item.key) <= _KEY_LENGTH_MAX:
        return item.key
    plain = normalize("NFKD", item.key or item.name).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if not made:
        return f"definition_{position}"
    return (made if made[0].isalpha() else f"d_{made}")[:_KEY_LENGTH_MAX]


def _unfit(item: Exported) -> str:
    """Why a definition has no counterpart at all; nothing where it may have one."""
    if not item.enabled:
        return "it is disabled there"
    if item.is_of_entities or item.scope == "LINKED":
        return "it is about entities of a warehouse, which are not known here"
    if item.scope not in ("USERS", "ACCOUNTS"):
        return f"its type {item.scope} is not known here"
    if not item.query:
        return "it has no query; definitions made with the audience builder may be exported without one"
    if len(item.query) > _length_max("query"):
        return f"its query has more than {_length_max('query'):,} characters"
    return ""


def _length_max(name: str) -> int:
    limit = schema()["$defs"]["audience"]["properties"][name]["maxLength"]
    assert isinstance(limit, int)
    return limit


def _carried(item: Exported, key: str) -> Carried:
    scope: Scope = "ACCOUNTS" if item.scope == "ACCOUNTS" else "USERS"
    notes = list(_option_notes(item))
    if item.key not in ("", key):
        notes.append(f"its key was {item.key!r}; destinations will know it as {key!r}")
    for what, text in (("name", item.name), ("description", item.description)):
        if len(text) > _length_max(what):
            notes.append(f"its {what} was cut at {_length_max(what):,} characters")
    definition = Definition(
        key=key,
        kind="audience",
        query=item.query,
        scope=scope,
        name=item.name[: _length_max("name")],
        historical=item.options.get("includeHistoricalData") is not False,
        include_anonymous_users=_includes_anonymous(item.options),
    )
    if item.kind == "trait" or (item.kind is None and _parses(replace(definition, kind="trait"))):
        # Computed traits are for every profile.
        definition = replace(definition, kind="trait", include_anonymous_users=False)
    return Carried(definition, item.description[: _length_max("description")], tuple(notes))


def _parses(definition: Definition) -> bool:
    try:
        parse(definition)
    except DefinitionError:
        return False
    return True


def _includes_anonymous(options: Mapping[str, Json]) -> bool:
    ids = options.get("filterByExternalIds")
    return options.get("includeAnonymousUsers") is True or (isinstance(ids, list) and "anonymous_id" in ids)


def _option_notes(item: Exported) -> Iterator[str]:
    ids = item.options.get("filterByExternalIds")
    usual = isinstance(ids, list) and ("anonymous_id" in ids or sorted(map(str, ids)) == sorted(IDENTIFYING))
    if ids and not usual and item.kind != "trait":
        yield f"filterByExternalIds is not carried over; members have one of {', '.join(IDENTIFYING)}"
    for name in item.options:
        if name not in _OPTIONS_READ:
            yield f"the option {name} has no counterpart"


# ── all of them ───────────────────────────────────────────────────────────────────────────────────────────────────


def _leave_out_refused(done: Migration, renamed: set[str]) -> None:
    """Leave out what is refused here, and what reads a trait that is not carried over: it would read another one."""
    found = review([each.definition for each in done.carried])
    reasons = _by_key(done.carried, found.errors)
    doubts = _by_key(done.carried, found.doubts)
    gone = renamed | {each.key for each in done.left_out} - {each.definition.key for each in done.carried}
    while fresh := [each for each in done.carried if each.definition.key in reasons or _reads(each, gone)]:
        for each in fresh:
            key = each.definition.key
            reason = reasons.get(key) or f"it reads trait({_reads(each, gone)!r}), which is not carried over"
            done.left_out.append(LeftOut(key, each.definition.name, reason, each))
            done.carried.remove(each)
            gone = gone | {key}
    done.carried = [_with_doubt(each, doubts.get(each.definition.key)) for each in done.carried]


def _by_key(carried: Sequence[Carried], errors: Sequence[DefinitionError]) -> dict[str, str]:
    """The first thing that is said of each."""
    queries = {each.definition.key: each.definition.query for each in carried}
    found: dict[str, str] = {}
    for error in errors:
        lines = excerpt(queries[error.key], error)
        found.setdefault(error.key, f"line {error.line}, column {error.column}: {error.wording}\n{lines}")
    return found


def _reads(each: Carried, gone: set[str]) -> str:
    """The first key it reads that is gone; nothing where there is none, or where nothing can be read."""
    try:
        keys = references(parse(each.definition))
    except DefinitionError:
        return ""
    return next((key for key in keys if key in gone), "")


def _with_doubt(each: Carried, doubt: str | None) -> Carried:
    return replace(each, notes=(*each.notes, doubt)) if doubt else each


def _missing(export: Export) -> Iterator[str]:
    for kind, announced in export.announced.items():
        count = len({item.id for item in export.items if item.kind == kind})
        if count < announced:
            yield f"the export has {count} of {announced} {kind}s: fetch the other pages too"
