"""`headwater validate`: what is wrong with a configuration, all of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from app import configuration
from app.cli.options import Json
from app.cli.output import DONE, WRONG_USAGE, answer, doubt_lines, fault_lines, fault_values, say


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration file.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Check a configuration: every problem at once, with file, line and column. Changes nothing.

    What is allowed but perhaps not meant is told as a warning.

    Exit code 0: nothing is wrong; 2: something is.

    \b
    Examples:
      headwater validate headwater.yaml
      headwater validate headwater.yaml --json | jq '.faults[].message'
    """
    found = configuration.examine(file, os.environ)
    faults = found.faults
    if as_json:
        answer({"ok": not faults, "faults": fault_values(faults), "warnings": fault_values(found.doubts)})
    else:
        if found.doubts:
            say(doubt_lines(found.doubts))
        if faults:
            say(fault_lines(faults))
        else:
            print(f"{file}: no problems", flush=True)
    raise typer.Exit(WRONG_USAGE if faults else DONE)
