"""A configuration file → settings, or every fault at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import Fault, SettingsError
from app.settings import document as yaml_document
from app.settings.build import build
from app.settings.checks import check
from app.settings.coercion import coerce
from app.settings.document import DocumentError, Node, Scalar, Sequence, typed
from app.settings.interpolation import Interpolated, InterpolationError, interpolate
from app.settings.model import Settings
from app.settings.positions import DocPath, Place, Positions
from app.settings.validation import Json, faults_of, in_destination_settings, is_secret, violations

_PRUNINGS_MAX = 100


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where in the file each of them stands."""

    settings: Settings
    positions: Positions
    secrets: frozenset[str] = field(repr=False)
    """Texts that no log may show: secret fields, and what destinations' settings took from outside the file."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What could be read of a file: with faults, the settings lack what is faulty, so that the rest can be checked."""

    loaded: Loaded | None
    """None where the file is no YAML at all."""
    faults: tuple[Fault, ...]


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """The settings of a file.

    Raises:
        SettingsError: every fault of structure; definitions and destinations' settings are for app.configuration.
    """
    draft = read(path, environ)
    if draft.faults or draft.loaded is None:
        raise SettingsError(draft.faults)
    return draft.loaded


def read(path: Path, environ: Mapping[str, str]) -> Draft:
    """The file as far as it can be understood, and its faults in the file's order."""
    file = str(path)
    try:
        text = _text(path)
        root, repeats = yaml_document.parse(text)
    except DocumentError as error:
        return Draft(None, (Fault(file, error.line, error.column, "", error.message),))
    reader = _Reader(environ, path.parent)
    value = coerce(reader.read(root, ()))
    whole = Positions(file, text, reader.values, reader.keys, reader.scalars, {})
    faults = [Fault(file, repeat.line, repeat.column, "", repeat.message) for repeat in repeats]
    faults += [whole.fault(at, message) for at, message in reader.faults]
    unresolved = {at for at, _ in reader.faults}
    for violation in violations(value):
        if violation.path not in unresolved:
            faults += faults_of(violation, whole)
    faults += check(value, whole)
    pruned, kept = _prune(value)
    positions = Positions(file, text, reader.values, reader.keys, reader.scalars, kept)
    loaded = Loaded(build(pruned), positions, frozenset(_secrets(value, ())))
    return Draft(loaded, tuple(sorted(faults, key=lambda fault: (fault.line, fault.column))))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(yaml_document.SIZE_BYTES_MAX + 1)
    except OSError as error:
        raise DocumentError(0, 0, f"cannot be read: {error.strerror}") from None
    if len(content) > yaml_document.SIZE_BYTES_MAX:
        raise DocumentError(0, 0, f"larger than {yaml_document.SIZE_BYTES_MAX} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DocumentError(line, 1, "not UTF-8 text") from None


class _Reader:
    """Tree → values, with places and references resolved."""

    def __init__(self, environ: Mapping[str, str], base: Path) -> None:
        self._environ = environ
        self._base = base
        self.values: dict[DocPath, Place] = {}
        self.keys: dict[DocPath, Place] = {}
        self.scalars: dict[DocPath, Scalar] = {}
        self.faults: list[tuple[DocPath, str]] = []

    def read(self, node: Node, path: DocPath) -> Json:
        self.values[path] = Place(node.line, node.column)
        if isinstance(node, Scalar):
            self.scalars[path] = node
            return self._scalar(node, path)
        if isinstance(node, Sequence):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.items)]
        found = {}
        for key, value in node.entries:
            self.keys[(*path, key.text)] = Place(key.line, key.column)
            found[key.text] = self.read(value, (*path, key.text))
        return found

    def _scalar(self, node: Scalar, path: DocPath) -> Json:
        try:
            text = interpolate(node.text, self._environ, self._base)
        except InterpolationError as error:
            self.faults.append((path, str(error)))
            return Interpolated("")
        if not isinstance(text, Interpolated):
            return text if node.style else typed(text)
        if node.style or not in_destination_settings(path):
            return text
        # No schema says what a type's own setting is, so an unquoted reference is read as if its value stood there.
        value = typed(str(text))
        return text if value is None or isinstance(value, str) else value


def _prune(document: Json) -> tuple[dict[str, Json], dict[DocPath, tuple[int, ...]]]:
    """The document without what the schema refuses, and which items of each list were kept."""
    if not isinstance(document, dict):
        return {}, {}
    document = copy.deepcopy(document)
    kept: dict[DocPath, tuple[int, ...]] = {}
    for _ in range(_PRUNINGS_MAX):
        found = violations(document)
        if not found:
            return document, kept
        paths: set[DocPath] = set()
        for violation in found:
            unknown = violation.unknown_keys if violation.rule == "additionalProperties" else []
            paths.update([(*violation.path, name) for name in unknown] or [violation.path])
        # Longest and last first: what is removed must not shift what is still to be removed.
        for path in sorted(paths, key=lambda path: (len(path), [_order(part) for part in path]), reverse=True):
            _remove(document, path, kept)
    return {}, {}


def _order(part: str | int) -> tuple[int, int, str]:
    return (0, part, "") if isinstance(part, int) else (1, 0, part)


def _remove(document: Json, path: DocPath, kept: dict[DocPath, tuple[int, ...]]) -> None:
    if not path:
        document.clear()
        return
    around = document
    original: DocPath = ()
    for part in path[:-1]:
        around = around[part]
        original = (*original, kept[original][part] if original in kept and isinstance(part, int) else part)
    last = path[-1]
    if isinstance(around, list) and isinstance(last, int):
        indexes = kept.get(original, tuple(range(len(around))))
        kept[original] = indexes[:last] + indexes[last + 1 :]
    del around[last]


def _secrets(value: Json, path: DocPath) -> set[str]:
    if isinstance(value, dict):
        return set().union(*(_secrets(item, (*path, key)) for key, item in value.items()))
    if isinstance(value, list):
        return set().union(*(_secrets(item, (*path, index)) for index, item in enumerate(value)))
    if not isinstance(value, str):
        return set()
    vendor = in_destination_settings(path) and isinstance(value, Interpolated)
    return {str(value)} if is_secret(path) or vendor else set()
