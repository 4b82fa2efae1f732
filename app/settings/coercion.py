"""Values from the environment are text; the schema says where a number or a boolean is meant."""

from typing import Any

from app.settings.document import typed
from app.settings.interpolation import Interpolated
from app.settings.validation import Json, schema

_NOT_TEXT = ("integer", "number", "boolean")


def coerce(value: Json, rule: dict[str, Any] | None = None) -> Json:
    """The document with each interpolated value as the schema's type for it, where it can be read so."""
    rule = _resolved(schema() if rule is None else rule)
    if isinstance(value, dict):
        known = rule.get("properties", {})
        other = rule.get("additionalProperties")
        others: dict[str, Any] = other if isinstance(other, dict) else {}
        return {key: coerce(item, known.get(key, others)) for key, item in value.items()}
    if isinstance(value, list):
        return [coerce(item, rule.get("items", {})) for item in value]
    if isinstance(value, Interpolated) and rule.get("type") in _NOT_TEXT:
        read = typed(str(value))
        return value if read is None or isinstance(read, str) else read
    return value


def _resolved(rule: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in rule:
        return rule
    found: dict[str, Any] = schema()["$defs"][rule["$ref"].removeprefix("#/$defs/")]
    return found
