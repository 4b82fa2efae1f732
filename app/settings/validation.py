"""What the published schema says against, worded for people, at its place in the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from app.errors import Fault
from app.settings.interpolation import Interpolated
from app.settings.positions import DocPath, Positions

Json = Any
"""A value of the document: None, bool, int, float, str, list or dict."""

_SECRET_FIELDS = ("write_key", "token", "password", "key_password")
_NAMES_SHOWN_MAX = 12
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
}


@cache
def schema() -> dict[str, Json]:
    """The published JSON Schema of the configuration; not to be changed."""
    loaded: dict[str, Json] = json.loads(files("app.settings").joinpath("schema.json").read_bytes())
    return loaded


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(schema())


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that the schema has against a document."""

    path: DocPath
    rule: str
    """The schema's word: type, enum, required …"""
    limit: Json
    """What the schema says about it; for `required`, the one missing name."""
    instance: Json
    known: tuple[str, ...] = ()
    """The keys that a mapping may have."""

    @property
    def unknown_keys(self) -> list[str]:
        """The keys that an `additionalProperties` violation is about."""
        return [name for name in self.instance if name not in self.known]


def violations(document: Json) -> list[Violation]:
    """Everything the schema has against the document."""
    return [_violation(error) for error in _validator().iter_errors(document)]


def _violation(error: ValidationError) -> Violation:
    path: DocPath = tuple(error.absolute_path)
    limit: Json = error.validator_value
    if error.validator == "required":
        # One violation for each missing name, which only the library's message tells: it begins with the name.
        limit = next(name for name in limit if error.message.startswith(repr(name)))
    rules = error.schema if isinstance(error.schema, Mapping) else {}
    return Violation(path, str(error.validator), limit, error.instance, tuple(rules.get("properties", ())))


def faults_of(violation: Violation, positions: Positions) -> Iterator[Fault]:
    """The faults that one violation is; a mapping with two unknown keys is two."""
    path = violation.path
    match violation.rule:
        case "additionalProperties":
            for name in violation.unknown_keys:
                yield positions.key_fault((*path, name), f"unknown key{did_you_mean(name, violation.known)}")
        case "propertyNames":
            yield positions.fault(path, "a key is empty or too long")
        case "required":
            yield positions.fault(path, f"the key {violation.limit!r} is missing")
        case _:
            yield positions.fault(path, f"expected {_wanted(violation)}, found {_shown(violation.instance, path)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a known name is near, else the known names, else nothing."""
    names = list(dict.fromkeys(known))
    near = get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    more = f" and {len(names) - _NAMES_SHOWN_MAX} more" if len(names) > _NAMES_SHOWN_MAX else ""
    return f"; known here: {', '.join(names[:_NAMES_SHOWN_MAX])}{more}" if names else ""


def _wanted(violation: Violation) -> str:
    limit = violation.limit
    match violation.rule:
        case "type":
            return " or ".join(_TYPES.get(one, one) for one in ([limit] if isinstance(limit, str) else limit))
        case "enum":
            near = get_close_matches(str(violation.instance), list(map(str, limit)), n=1)
            hint = f" (did you mean {near[0]}?)" if near and not isinstance(violation.instance, Interpolated) else ""
            return "one of " + ", ".join(map(str, limit)) + hint
        case "pattern":
            return f"text that matches {limit}"
        case "minimum":
            return f"at least {limit}"
        case "maximum":
            return f"at most {limit}"
        case "exclusiveMinimum":
            return f"more than {limit}"
        case "minLength" | "minItems":
            return "something, not nothing" if limit == 1 else f"at least {limit}"
        case "maxLength":
            return f"at most {limit} characters"
        case "maxItems":
            return f"at most {limit} items"
        case "uniqueItems":
            return "each item once"
        case _:
            return f"what the schema's {violation.rule!r} says"


def _shown(value: Json, path: DocPath) -> str:
    """What was found, but never a secret: no value from outside the file, none of a secret field or a destination."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, Interpolated) or is_secret(path) or in_destination_settings(path):
        return "a value that is not shown"
    return repr(value) if len(str(value)) <= 60 else f"{len(str(value))} characters"


def is_secret(path: DocPath) -> bool:
    """Whether a value of ours is a secret by its name."""
    return bool(path) and path[-1] in _SECRET_FIELDS


def in_destination_settings(path: DocPath) -> bool:
    """Whether a value is a destination type's own setting: only the type knows which of them are secret."""
    return path[:1] == ("destinations",) and path[2:3] == ("settings",)
