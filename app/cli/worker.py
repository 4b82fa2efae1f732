"""`headwater worker`: one runtime as a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Annotated, Any

import typer
import uvloop

from app import configuration
from app.cli import brokers as broker_address
from app.cli.options import CONFIG_DEFAULT, DATA_DEFAULT, Brokers, Config, Data
from app.cli.orphans import die_with_parent
from app.cli.output import DONE
from app.cli.signals import until_signal
from app.observability import failpoints, logs, run_file
from app.settings import Settings, WorkerOptions

Runtime = Callable[[Settings, WorkerOptions], Coroutine[Any, Any, int]]
"""Runs until it is cancelled, which it takes as a request to stop cleanly; gives the exit code."""


class Role(StrEnum):
    """Which runtime."""

    STREAM = "stream"
    DELIVERY = "delivery"
    API = "api"


def worker(
    role: Annotated[Role, typer.Argument(help="Which runtime.", show_default=False)],
    config: Config = CONFIG_DEFAULT,
    data: Data = DATA_DEFAULT,
    brokers: Brokers = "",
    name: Annotated[str, typer.Option("--name", help="Its directory below DATA; the role by default.")] = "",
) -> None:
    """Run one runtime, for process managers and Kubernetes. The topics must be there: `headwater apply` makes them.

    Its health and metrics addresses are in DATA/run/NAME.json; a port can be fixed in the configuration (health.port).

    \b
    Examples:
      headwater worker stream --config headwater.yaml --data /var/lib/headwater --name stream-0
      headwater worker delivery --config headwater.yaml
    """
    die_with_parent(os.environ)
    failpoints.arm(os.environ)
    name = name or role.value
    logs.configure(name)
    loaded = configuration.open_configuration(config, os.environ)
    logs.hide(configuration.secrets(loaded))
    options = WorkerOptions(
        data_dir=data,
        brokers=broker_address.resolve(loaded.settings, data, brokers),
        name=name,
        config_path=config,
    )
    try:
        code = uvloop.run(until_signal(_runtime(role)(loaded.settings, options)))
    finally:
        run_file.remove(data, name)
    # A runtime that was asked to stop, and did, has done its work.
    raise typer.Exit(DONE if code is None else code)


def _runtime(role: Role) -> Runtime:
    # Each process loads its own runtime only: Faust and RocksDB have no business in the API's memory.
    match role:
        case Role.STREAM:
            from app.stream.runtime import run
        case Role.DELIVERY:
            from app.delivery.runtime import run
        case Role.API:
            from app.api.runtime import run
    return run
