"""Which broker a command talks to."""

from __future__ import annotations

import os
from pathlib import Path

from app.cli.options import CONFIG_DEFAULT
from app.cli.output import CommandError
from app.errors import SettingsError
from app.observability import run_file
from app.settings import Settings, read

INSTANCE = "headwater"
"""The run file of `headwater up`."""


def settings(config: Path, given: str = "") -> Settings:
    """A configuration of which only how to reach the broker counts: other faults and missing secrets do not matter.

    Raises:
        SettingsError: its section `kafka` has faults, or it cannot be read.
    """
    if not config.exists() and (given or config == CONFIG_DEFAULT):
        return Settings()
    draft = read(config, os.environ)
    faults = [fault for fault in draft.faults if fault.path.partition(".")[0] in ("", "kafka")]
    if faults or draft.loaded is None:
        raise SettingsError(faults)
    return draft.loaded.settings


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
