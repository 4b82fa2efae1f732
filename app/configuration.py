"""From settings to the core: the catalogue that goes through the log, destinations with their settings, all faults.

The only place where definitions, destination types and the configuration's file meet. Takes `Settings`; gives values
of the core. Promises: what `check` passes, `catalog` and `destinations` do not refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.activation.destination import Configured, settings_schema
from app.activation.destinations import DESTINATIONS
from app.definitions.excerpt import excerpt
from app.definitions.model import Catalog, Definition, Kind, Subscription
from app.definitions.review import review
from app.errors import DefinitionError, Fault, SettingsError
from app.identity.rules import Extra, IdentityRules, Limit, LinkRules
from app.settings import (
    Connection,
    DefinitionText,
    Destination,
    DocPath,
    EventNames,
    IdentifierSource,
    IdentityLimit,
    Loaded,
    Settings,
    did_you_mean,
    schema,
)
from app.settings import read as read_settings


@dataclass(frozen=True, slots=True)
class Examination:
    """What is to be said of a configuration, in the file's order."""

    faults: list[Fault]
    """With any of these nothing is done."""
    doubts: list[Fault]
    """Allowed, and perhaps not meant."""


def open_configuration(path: Path, environ: Mapping[str, str]) -> Loaded:
    """A configuration that a process can run on.

    Raises:
        SettingsError: every fault of the file, its definitions and its destinations' settings.
    """
    loaded, found = _read(path, environ)
    if found.faults or loaded is None:
        raise SettingsError(found.faults)
    return loaded


def check(path: Path, environ: Mapping[str, str]) -> list[Fault]:
    """Everything that is wrong with a configuration, in the file's order; nothing is done."""
    return examine(path, environ).faults


def examine(path: Path, environ: Mapping[str, str]) -> Examination:
    """Everything that is wrong or odd; nothing is done."""
    return _read(path, environ)[1]


def catalog(settings: Settings) -> Catalog:
    """What the stream has to know. No secrets: it goes through the log."""
    return Catalog(
        definitions=definitions(settings),
        subscriptions=tuple(
            _subscription(destination, connection)
            for destination in settings.destinations
            for connection in destination.connect
        ),
        destination_types=tuple((destination.name, destination.type) for destination in settings.destinations),
        space=settings.space.id,
    )


def identity_rules(settings: Settings) -> IdentityRules:
    """What identifies, and how identifiers make profiles."""
    identity = settings.identity
    usual = LinkRules()
    # Who says something of another type does not mean that a profile may have several user ids.
    limits = {**usual.limits, **{kind: _limit(limit) for kind, limit in identity.limits.items()}}
    return IdentityRules(
        blocked=frozenset(value.lower() for value in identity.blocked),
        blocked_patterns=identity.blocked_patterns,
        extra=tuple(_extra(source) for source in identity.identifiers),
        link=LinkRules(
            default_limit=limits.pop("default", usual.default_limit),
            limits=limits,
            priority=identity.priority,
            max_identifiers=identity.max_identifiers,
            max_merges=identity.max_merges,
        ),
    )


def _limit(limit: int | IdentityLimit) -> Limit:
    return Limit(limit) if isinstance(limit, int) else Limit(limit.limit, limit.per)


def _extra(source: IdentifierSource) -> Extra:
    if source.trait is not None:
        return Extra(source.type, "trait", source.trait)
    assert source.property is not None, "an identifier from nowhere passed the settings' checks"
    return Extra(source.type, "property", source.property)


def definitions(settings: Settings) -> tuple[Definition, ...]:
    """Audiences, then traits, in the file's order."""
    audiences = tuple(_definition(text, "audience") for text in settings.audiences)
    return audiences + tuple(_definition(text, "trait") for text in settings.traits)


def destinations(settings: Settings) -> dict[str, Configured]:
    """Destination name → the destination with its settings in place, for a sender.

    Raises:
        SettingsError: with paths that start at one destination's settings; `open_configuration` tells them with places.
    """
    return {one.name: _configured(one) for one in settings.destinations}


def list_intervals(settings: Settings) -> dict[str, dict[str, float]]:
    """List destination → audience → seconds between two updates of its list."""
    return {
        one.name: {
            connection.audience: connection.interval_s or lists.interval_s
            for connection in one.connect
            if connection.audience is not None
        }
        for one in settings.destinations
        if (lists := DESTINATIONS[one.type].lists) is not None
    }


def secrets(loaded: Loaded) -> frozenset[str]:
    """Every text of a sound configuration that no log may show."""
    own = {secret.reveal() for one in destinations(loaded.settings).values() for secret in one.secrets}
    return loaded.secrets | own


def published_schema() -> dict[str, object]:
    """The JSON Schema of a whole configuration: of its structure, and of the settings of each destination type."""
    whole: dict[str, Any] = deepcopy(schema())
    items = whole["properties"]["destinations"]["items"]
    items["properties"]["type"]["enum"] = sorted(DESTINATIONS)
    items["allOf"] = [_settings_rule(name) for name in sorted(DESTINATIONS)]
    return whole


def _settings_rule(name: str) -> dict[str, object]:
    wanted = settings_schema(DESTINATIONS[name])
    then: dict[str, object] = {"properties": {"settings": wanted}}
    if wanted["required"]:
        then["required"] = ["settings"]
    return {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": then}


def problems(loaded: Loaded) -> Examination:
    """What is wrong with the definitions and the destinations' settings of a file whose structure is sound."""
    definitions = _examined_definitions(loaded)
    return Examination([*definitions.faults, *_destination_faults(loaded)], definitions.doubts)


def _read(path: Path, environ: Mapping[str, str]) -> tuple[Loaded | None, Examination]:
    draft = read_settings(path, environ)
    if draft.loaded is None:
        return None, Examination(list(draft.faults), [])
    # A value that has a fault already was left out or emptied; what follows from that is not another fault.
    told = {fault.path for fault in draft.faults}
    found = problems(draft.loaded)
    faults = [*draft.faults, *(fault for fault in found.faults if fault.path not in told)]
    doubts = [doubt for doubt in found.doubts if doubt.path not in told]
    return draft.loaded, Examination(_in_order(faults), _in_order(doubts))


def _in_order(faults: Sequence[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: (fault.line, fault.column))


def _definition(text: DefinitionText, kind: Kind) -> Definition:
    return Definition(
        key=text.key,
        kind=kind,
        # A block of YAML ends in a line break, which is no part of what its author meant.
        query=text.query.rstrip(),
        scope=text.type,
        name=text.name,
        historical=text.historical,
        include_anonymous_users=text.include_anonymous_users,
    )


def _subscription(destination: Destination, connection: Connection) -> Subscription:
    kind: Kind = "audience" if connection.audience is not None else "trait"
    key = connection.audience if connection.audience is not None else connection.trait
    assert key is not None, "a connection without a definition passed the settings' checks"
    return Subscription(
        definition=key,
        kind=kind,
        destination=destination.name,
        calls=connection.calls,
        event_names=_event_names(connection.event_names),
        traits=tuple(dict.fromkeys((*connection.traits, *DESTINATIONS[destination.type].enrich))),
        mapping=tuple(sorted(connection.mapping.items())),
        ids=tuple(sorted((kind, choice) for kind, choice in connection.ids.items() if choice != "all")),
        resend_on_new_identifier=connection.resend_on_new_identifier,
        lists=DESTINATIONS[destination.type].lists is not None,
        historical=connection.historical,
    )


def _event_names(names: EventNames) -> tuple[tuple[str, str], ...]:
    """Only what differs from the usual, so that spelling a default out does not make another catalogue."""
    usual = EventNames()
    pairs = (("entered", names.entered), ("exited", names.exited), ("computed", names.computed))
    return tuple((what, name) for what, name in pairs if name != getattr(usual, what))


def _examined_definitions(loaded: Loaded) -> Examination:
    places: dict[str, DocPath] = {}
    first: dict[str, Definition] = {}
    sections = (("audiences", loaded.settings.audiences), ("traits", loaded.settings.traits))
    paths = (loaded.positions.original((name, index)) for name, texts in sections for index in range(len(texts)))
    for path, definition in zip(paths, definitions(loaded.settings), strict=True):
        # A key given twice is a fault of the settings; only its first definition is looked at.
        if first.setdefault(definition.key, definition) is definition:
            places[definition.key] = (*path, "query")

    def fault(error: DefinitionError) -> Fault:
        lines = excerpt(first[error.key].query, error)
        message = f"{error.key}: {error.wording}" + (f"\n{lines}" if lines else "")
        return loaded.positions.fault_within(places[error.key], error.line, error.column, message)

    found = review(list(first.values()))
    return Examination([fault(error) for error in found.errors], [fault(doubt) for doubt in found.doubts])


def _destination_faults(loaded: Loaded) -> Iterator[Fault]:
    for index, destination in enumerate(loaded.settings.destinations):
        path = loaded.positions.original(("destinations", index))
        if destination.type not in DESTINATIONS:
            hint = did_you_mean(destination.type, DESTINATIONS)
            yield loaded.positions.fault((*path, "type"), f"no destination type is called {destination.type!r}{hint}")
            continue
        try:
            calls = _configured(destination).calls
        except SettingsError as error:
            for fault in error.faults:
                yield _placed(loaded, (*path, "settings"), fault)
            calls = DESTINATIONS[destination.type].calls
        yield from _connection_faults(loaded, index, destination, calls)


def _connection_faults(
    loaded: Loaded, at: int, destination: Destination, calls: tuple[str, ...] | None
) -> Iterator[Fault]:
    """Calls that the vendor has no place for, or that tell of accounts; and keys that become one field there."""
    of_accounts = {
        text.key for texts in (loaded.settings.audiences, loaded.settings.traits) for text in texts
        if text.type == "ACCOUNTS"
    }  # fmt: skip
    type_ = DESTINATIONS[destination.type]
    keys: dict[str, str] = {}
    for index, connection in enumerate(destination.connect):
        place = loaded.positions.original(("destinations", at, "connect", index))
        for call in connection.calls if calls is not None else ():
            if call not in (calls or ()):
                needs = f" without {type_.track_needs}" if call in (type_.calls or ()) else ""
                message = f"{destination.type} takes {', '.join(calls or ())}, and no {call}{needs}"
                yield loaded.positions.fault((*place, "calls"), message)
        yield from _list_faults(loaded, place, destination, connection)
        what = "audience" if connection.audience is not None else "trait"
        key = connection.audience or connection.trait or ""
        if "group" in connection.calls and key not in of_accounts:
            message = f"group tells of an account, and {key!r} is of users; take identify or track, or type: ACCOUNTS"
            yield loaded.positions.fault((*place, "calls"), message)
        name = connection.mapping.get(key, key)
        field = type_.field_name(name)
        other = keys.setdefault(field, name)
        if other != name:
            message = f"{name!r} and {other!r} both become the field {field!r} there; give one another name in mapping"
            yield loaded.positions.fault((*place, what), message)


def _list_faults(loaded: Loaded, place: DocPath, destination: Destination, connection: Connection) -> Iterator[Fault]:
    """What no list can do: hold a trait, or be updated more often than its vendor bears."""
    lists = DESTINATIONS[destination.type].lists
    if lists is None:
        if connection.interval_s is not None:
            message = f"{destination.type} gets each change at once; only lists have an interval"
            yield loaded.positions.fault((*place, "interval"), message)
        return
    if connection.trait is not None:
        message = f"{destination.type} keeps lists of people: an audience can go there, and no trait"
        yield loaded.positions.fault((*place, "trait"), message)
    if connection.interval_s is not None and connection.interval_s < lists.interval_min_s:
        message = f"{destination.type} takes an update every {_span(lists.interval_min_s)} at most"
        yield loaded.positions.fault((*place, "interval"), message)


def _span(seconds: float) -> str:
    for unit, length_s in (("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds >= length_s and seconds % length_s == 0:
            count = int(seconds) // length_s
            return unit if count == 1 else f"{count} {unit}s"
    return f"{seconds:g} seconds"


def _configured(destination: Destination) -> Configured:
    return DESTINATIONS[destination.type].configure(destination.settings, rate_per_s=destination.rate_per_s)


def _placed(loaded: Loaded, base: DocPath, fault: Fault) -> Fault:
    path = (*base, *(part for part in fault.path.split(".") if part))
    place = loaded.positions.key_fault if fault.message.startswith("unknown") else loaded.positions.fault
    return place(path, fault.message)
