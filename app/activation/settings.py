"""From a plain mapping to a destination's settings dataclass, and from the dataclass to its JSON Schema.

A field's type is one of `str`, `Secret`, `bool`, `int`, `float`, a `Literal` of texts, `tuple[str, ...]`, a mapping of
texts to `str` or `Secret`, or one of these `| None`; `Annotated` with a `Rule` adds a meaning and bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from app.errors import Fault, SettingsError

S = TypeVar("S")


class Secret:
    """A text that must not be shown. Only `reveal` gives it away; repr, str and formatting do not."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends or signs with it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('…')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field's type cannot say; given as `Annotated[int, Rule(...)]`."""

    meaning: str
    minimum: float | None = None
    maximum: float | None = None
    check: Callable[[Any], str | None] | None = None
    """A value of the field's type → what is wrong with it, or None. It must not repeat the value of a secret."""


def check_base_url(url: str) -> str | None:
    """An origin, and perhaps a path before the vendor's own."""
    if not url.startswith(("https://", "http://")):
        return "expected a URL that starts with https:// or http://"
    return "expected a URL without user name, query or fragment" if set(url) & set("@?#") else None


@dataclass(frozen=True, slots=True)
class CommonSettings:
    """Settings that every type has."""

    base_url: Annotated[
        str | None,
        Rule("Replaces the vendor's scheme and host: for tests, proxies and sandboxes.", check=check_base_url),
    ] = None
    timeout_s: Annotated[float | None, Rule("Whole request, reply included, in seconds.", minimum=0.1, maximum=300)] = (
        None
    )


def read_settings(type_: type[S], raw: Mapping[str, object]) -> tuple[S, CommonSettings]:
    """Raises SettingsError with all faults: unknown, missing and wrong. The paths start at the settings."""
    faults: list[Fault] = []
    own = _read(type_, raw, faults)
    common = _read(CommonSettings, raw, faults)
    known = {f.name for owner in (type_, CommonSettings) for f in _fields(owner)}
    for name in raw:
        if name not in known:
            faults.append(_fault(name, f"unknown setting; known are {', '.join(sorted(known))}"))
    if faults or own is None or common is None:
        raise SettingsError(faults)
    return own, common


def schema_of(type_: type[object]) -> dict[str, object]:
    """JSON Schema (2020-12) of the mapping that `read_settings` takes. Secrets are `writeOnly`."""
    properties: dict[str, object] = {}
    required = []
    for owner in (type_, CommonSettings):
        for f in _fields(owner):
            schema = _schema(f.type) | {"description": f.rule.meaning}
            bounds = {"minimum": f.rule.minimum, "maximum": f.rule.maximum}
            schema |= {key: value for key, value in bounds.items() if value is not None}
            if f.default is MISSING:
                required.append(f.name)
            elif f.default is not None:
                schema["default"] = list(f.default) if isinstance(f.default, tuple) else f.default
            properties[f.name] = schema
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def secrets_in(settings: object) -> tuple[Secret, ...]:
    """Every secret of a settings object, those inside its mappings too."""
    found: list[Secret] = []
    for f in _fields(type(settings)):
        value = getattr(settings, f.name)
        found += [one for one in (value.values() if isinstance(value, Mapping) else [value]) if isinstance(one, Secret)]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    type: object
    default: object
    rule: Rule


def _fields(owner: Any) -> list[_Field]:
    hints = get_type_hints(owner, include_extras=True)
    found = []
    for f in fields(owner):
        hint, rule = hints[f.name], Rule("")
        if get_origin(hint) is Annotated:
            hint, rule = get_args(hint)
        found.append(_Field(f.name, hint, f.default, rule))
    return found


def _read(type_: type[S], raw: Mapping[str, object], faults: list[Fault]) -> S | None:
    values: dict[str, object] = {}
    sound = True
    for f in _fields(type_):
        if f.name in raw:
            value, message = _convert(f.type, raw[f.name])
            message = message or _broken(f.rule, value)
            values[f.name] = value
        else:
            message = f"missing: {f.rule.meaning}" if f.default is MISSING else ""
        if message:
            faults.append(_fault(f.name, message))
            sound = False
    return type_(**values) if sound else None


def _convert(hint: object, raw: object) -> tuple[object, str]:
    """(value, "") or (None, what is wrong)."""
    origin = get_origin(hint)
    if origin in (UnionType, Union):
        return (None, "") if raw is None else _convert(_present(hint), raw)
    if hint is Secret:
        return (Secret(raw), "") if isinstance(raw, str) else (None, "expected a text")
    if hint is float and isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw), ""
    if origin is Literal:
        names = get_args(hint)
        return (raw, "") if raw in names else (None, f"expected one of {', '.join(names)}")
    if origin is tuple:
        sound = isinstance(raw, list | tuple) and all(isinstance(item, str) for item in raw)
        return (tuple(raw), "") if sound and isinstance(raw, list | tuple) else (None, "expected a list of texts")
    if origin is not None:
        kind = get_args(hint)[1]
        if not isinstance(raw, Mapping) or not all(isinstance(part, str) for item in raw.items() for part in item):
            return None, "expected a mapping of texts to texts"
        return {name: Secret(text) if kind is Secret else text for name, text in raw.items()}, ""
    if hint in _NAMES and type(raw) is hint:
        return raw, ""
    return None, f"expected {_NAMES[hint]}"


_NAMES: dict[object, str] = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def _broken(rule: Rule, value: object) -> str:
    if isinstance(value, int | float) and rule.minimum is not None and not value >= rule.minimum:
        return f"expected {rule.minimum:g} or more"
    if isinstance(value, int | float) and rule.maximum is not None and not value <= rule.maximum:
        return f"expected {rule.maximum:g} or less"
    if value is None or rule.check is None:
        return ""
    return rule.check(value) or ""


def _schema(hint: object) -> dict[str, object]:
    origin = get_origin(hint)
    if origin in (UnionType, Union):
        return _schema(_present(hint))
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    if origin is tuple:
        return {"type": "array", "items": {"type": "string"}}
    if origin is not None:
        return {"type": "object", "additionalProperties": _schema(get_args(hint)[1])}
    if hint is Secret:
        return {"type": "string", "writeOnly": True}
    return {"type": {str: "string", bool: "boolean", int: "integer", float: "number"}[hint]}  # type: ignore[index]


def _present(hint: object) -> object:
    return next(part for part in get_args(hint) if part is not NoneType)


def _fault(path: str, message: str) -> Fault:
    return Fault(file="", line=0, column=0, path=path, message=message)
