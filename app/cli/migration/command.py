"""`headwater import segment`: a configuration from an export of another product."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.migration.document import document
from app.cli.migration.mapping import Migration, migrate
from app.cli.migration.segment_export import ExportError, read_export
from app.cli.options import Json
from app.cli.output import WRONG_USAGE, CommandError, answer, counted, say


class Product(StrEnum):
    """Where the definitions come from."""

    SEGMENT = "segment"


def import_(
    product: Annotated[Product, typer.Argument(help="Where they come from.", show_default=False)],
    export: Annotated[Path, typer.Argument(metavar="EXPORT.json", help="What its API gave.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write; else standard output.")] = None,
    as_json: Json = False,
) -> None:
    """Write a configuration from audiences and computed traits exported from Segment's Public API.

    EXPORT.json holds answers of the API or bodies of its create calls: one, or a list of them. What cannot be carried
    over is told with its reason, and stands in the file as a comment.

    Exit code 0: written; 1: nothing could be carried over; 2: the export cannot be read.

    \b
    Examples:
      headwater import segment audiences.json --out headwater.yaml
      jq -s . audiences.json traits.json > all.json && headwater import segment all.json
    """
    if as_json and out is None:
        raise CommandError("--json needs --out FILE: standard output holds one or the other", code=WRONG_USAGE)
    if out is not None and out.exists():
        raise CommandError(f"{out} is there already; name another file", code=WRONG_USAGE)
    migration = _migrated(export)
    if as_json:
        answer(_as_value(migration))
    else:
        say(_report(migration, export))
    if not migration.carried:
        raise CommandError(f"{export}: nothing could be carried over")
    text = document(migration, export.name)
    if out is None:
        print(text, end="", flush=True)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{out}: cannot be written: {error.strerror}") from None


def _migrated(export: Path) -> Migration:
    try:
        found = read_export(export.read_bytes())
    except OSError as error:
        raise CommandError(f"{export}: cannot be read: {error.strerror}", code=WRONG_USAGE) from None
    except ExportError as error:
        raise CommandError(f"{export}: {error}", code=WRONG_USAGE) from None
    if not found.items:
        raise CommandError(f"{export}: no audiences and no computed traits in it", code=WRONG_USAGE)
    return migrate(found)


def _report(migration: Migration, export: Path) -> str:
    lines = [f"note: {note}" for note in migration.notes]
    lines += [f"note: {each.definition.key}: {note}" for each in migration.carried for note in each.notes]
    lines += [f"left out: {each.key}: {each.reason}" for each in migration.left_out]
    audiences, traits = len(migration.of("audience")), len(migration.of("trait"))
    carried = f"{counted(audiences, 'audience')} and {counted(traits, 'trait')} carried over"
    return "\n".join([*lines, f"{export}: {carried}, {len(migration.left_out)} left out"])


def _as_value(migration: Migration) -> dict[str, object]:
    return {
        "audiences": [each.definition.key for each in migration.of("audience")],
        "traits": [each.definition.key for each in migration.of("trait")],
        "left_out": [{"key": each.key, "name": each.name, "reason": each.reason} for each in migration.left_out],
        "notes": [
            *({"key": None, "note": note} for note in migration.notes),
            *({"key": each.definition.key, "note": note} for each in migration.carried for note in each.notes),
        ],
    }
