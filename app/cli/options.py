"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.", envvar="HEADWATER_CONFIG")]
Data = Annotated[Path, typer.Option("--data", "-d", help="The data directory.", envvar="HEADWATER_DATA")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout.")]
Brokers = Annotated[str, typer.Option("--brokers", "-b", help="host:port,host:port, instead of the configuration's.")]

CONFIG_DEFAULT = Path("headwater.yaml")
DATA_DEFAULT = Path("data")
