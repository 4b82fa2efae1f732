"""Bugs planted on a copy of the code, to see whether the checks would notice them: never a switch in `app/`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Planted:
    name: str
    file: str
    old: str
    new: str


def copied(target: Path) -> Path:
    """The code and its tests, in a folder of their own."""
    for part in ("app", "tests"):
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@contextmanager
def planted_in(copy: Path, planted: Planted) -> Iterator[None]:
    """With the bug in the copy, for as long as the block lasts."""
    path = copy / planted.file
    text = path.read_text()
    assert text.count(planted.old) == 1, f"{planted.file} no longer has the place where this bug is planted"
    path.write_text(text.replace(planted.old, planted.new))
    try:
        yield
    finally:
        path.write_text(text)
