"""`headwater apply`: bring a running deployment to what a configuration says."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from app import configuration
from app.cli import brokers as broker_address
from app.cli import topics_setup
from app.cli.options import DATA_DEFAULT, Brokers, Data, Json
from app.cli.output import answer
from app.settings import Settings


def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration file.", show_default=False)],
    data: Data = DATA_DEFAULT,
    brokers: Brokers = "",
    as_json: Json = False,
) -> None:
    """Make the topics a configuration needs, and put its definitions and connections into effect.

    They take effect at one point of each partition's log. Doing it twice changes nothing.

    \b
    Examples:
      headwater apply headwater.yaml
      headwater apply headwater.yaml --brokers kafka-1:9092
    """
    settings = configuration.open_configuration(file, os.environ).settings
    address = broker_address.resolve(settings, data, brokers)
    asyncio.run(put_into_effect(settings, address))
    counts = {
        "audiences": len(settings.audiences),
        "traits": len(settings.traits),
        "destinations": len(settings.destinations),
    }
    if as_json:
        answer({"applied": counts})
    else:
        print(f"{file}: " + ", ".join(f"{count} {what}" for what, count in counts.items()) + " in effect", flush=True)


async def put_into_effect(settings: Settings, brokers: str) -> None:
    """Topics first: the catalogue is a record in one of them."""
    from app.stream.announce import announce  # The stream's libraries are slow to load; other commands need none.

    await topics_setup.ensure(settings, brokers)
    await announce(settings, brokers)
