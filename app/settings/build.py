"""A document that the schema has passed → settings."""

from __future__ import annotations

from typing import Any

from app.settings import model
from app.settings.secret import Secret
from app.settings.validation import Json

_UNIT_S = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}


def build(document: dict[str, Json]) -> model.Settings:
    """Settings of a valid document; what it does not say is the dataclass's default."""
    given = dict(document)
    if "space" in given:
        given["space"] = model.Space(**_texts(given["space"]))
    if "kafka" in given:
        given["kafka"] = _kafka(given["kafka"])
    if "api" in given:
        given["api"] = _api(given["api"])
    if "identity" in given:
        given["identity"] = _identity(given["identity"])
    if "delivery" in given:
        given["delivery"] = model.Delivery(**_frozen(given["delivery"]))
    if "stream" in given:
        given["stream"] = model.Stream(**given["stream"])
    if "health" in given:
        given["health"] = model.HealthSettings(**_texts(given["health"]))
    given["sources"] = tuple(_source(item) for item in given.get("sources", ()))
    for section in ("audiences", "traits"):
        given[section] = tuple(model.DefinitionText(**_texts(item)) for item in given.get(section, ()))
    given["destinations"] = tuple(_destination(item) for item in given.get("destinations", ()))
    return model.Settings(**given)


def _kafka(item: dict[str, Json]) -> model.Kafka:
    given = _texts(item)
    if "security" in given:
        security = _texts(given["security"])
        for name in ("password", "key_password"):
            if name in security:
                security[name] = Secret(security[name])
        given["security"] = model.Security(**security)
    return model.Kafka(**given)


def _api(item: dict[str, Json]) -> model.Api:
    given = _texts(item)
    tokens = [_texts(token) for token in given.get("tokens", ())]
    given["tokens"] = tuple(model.Token(**{**token, "token": Secret(token["token"])}) for token in tokens)
    return model.Api(**given)


def _identity(item: dict[str, Json]) -> model.Identity:
    given = _frozen(item)
    if "limits" in given:
        given["limits"] = {
            kind: model.IdentityLimit(**limit) if isinstance(limit, dict) else limit
            for kind, limit in given["limits"].items()
        }
    given["identifiers"] = tuple(model.IdentifierSource(**each) for each in given.get("identifiers", ()))
    return model.Identity(**given)


def _source(item: dict[str, Json]) -> model.Source:
    given = _texts(item)
    return model.Source(**{**given, "write_key": Secret(given["write_key"])})


def _destination(item: dict[str, Json]) -> model.Destination:
    given = _frozen(item)
    given["connect"] = tuple(_connection(connection) for connection in item.get("connect", ()))
    return model.Destination(**given)


def _connection(item: dict[str, Json]) -> model.Connection:
    given = _frozen(item)
    if "event_names" in given:
        given["event_names"] = model.EventNames(**_texts(given["event_names"]))
    if "interval" in given:
        count, unit = given.pop("interval").split(" ")
        given["interval_s"] = float(int(count) * _UNIT_S[unit.removesuffix("s")])
    return model.Connection(**given)


def _texts(item: dict[str, Json]) -> dict[str, Any]:
    """The mapping with plain texts: that one came from the environment matters only while it can be shown."""
    return {key: str(value) if isinstance(value, str) else value for key, value in item.items()}


def _frozen(item: dict[str, Json]) -> dict[str, Any]:
    """The same with lists as tuples, one level deep, and plain texts at any depth."""
    plain = {key: _plain(value) for key, value in item.items()}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}


def _plain(value: Json) -> Json:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
