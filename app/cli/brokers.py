"""Which broker a command talks to."""

from __future__ import annotations

from pathlib import Path

from app.cli.output import CommandError
from app.observability import run_file
from app.settings import Settings

INSTANCE = "headwater"
"""The run file of `headwater up`."""


def resolve(settings: Settings, data_dir: Path, given: str = "") -> str:
    """The bootstrap address: the one given, else the configuration's, else that of the running embedded broker.

    Raises:
        CommandError: the broker is embedded and no `headwater up` runs on this data directory.
    """
    if given:
        return given
    if not settings.kafka.is_embedded:
        return settings.kafka.brokers
    running = run_file.read(data_dir, INSTANCE)
    if running is None or "kafka" not in running:
        raise CommandError(
            f"the broker is embedded, and no `headwater up` is serving on {data_dir}; "
            "start it, or give --data or --brokers"
        )
    return running["kafka"]
