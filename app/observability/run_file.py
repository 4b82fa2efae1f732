"""`DATA/run/<name>.json`: what a running process tells the others on its machine: its pid and its addresses."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

_DIRECTORY = "run"


def write(data_dir: Path, name: str, addresses: Mapping[str, str]) -> None:
    """Tell where this process listens; readers see the whole file or none.

    Args:
        name: `stream-0`, `delivery`, `api`, or `headwater` for the whole instance.
        addresses: As in {"health": "http://127.0.0.1:43021"}.
    """
    path = _path(data_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({"pid": os.getpid(), **addresses}) + "\n")
    fresh.replace(path)


def read(data_dir: Path, name: str, *, pid: int | None = None) -> dict[str, str] | None:
    """A process's addresses; None when there is no file, or another process than `pid` wrote it."""
    try:
        found = json.loads(_path(data_dir, name).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    writer = found.pop("pid", None)
    if not isinstance(writer, int) or (writer != pid if pid is not None else not _runs(writer)):
        return None
    return {key: value for key, value in found.items() if isinstance(value, str)}


def remove(data_dir: Path, name: str) -> None:
    """The process has stopped."""
    _path(data_dir, name).unlink(missing_ok=True)


def _path(data_dir: Path, name: str) -> Path:
    return data_dir / _DIRECTORY / f"{name}.json"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
