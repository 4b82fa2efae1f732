"""The command as its users run it: a process with an exit code."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TIMEOUT_S = 120


def headwater(
    *arguments: str | Path,
    stdin: bytes = b"",
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m app …` and wait for its end."""
    command: Sequence[str] = [sys.executable, "-m", "app", *map(str, arguments)]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "100", **(environ or {})},
    )
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())
