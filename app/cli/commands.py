"""The command line: every command, and how errors become exit codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Annotated

import typer

from app import __version__
from app.cli.output import DONE, FAILED, WRONG_USAGE, CommandError, fault_lines, say
from app.errors import HeadwaterError, SettingsError

COMMANDS = {
    "demo": "app.cli.demo.command",
    "up": "app.cli.up",
    "worker": "app.cli.worker",
    "validate": "app.cli.validate",
    "schema": "app.cli.schema",
    "apply": "app.cli.apply",
    "send": "app.cli.send",
    "explain": "app.cli.explain",
    "profile": "app.cli.profile",
    "regulation": "app.cli.regulation",
    "lists": "app.cli.lists",
    "dead": "app.cli.dead",
    "destinations": "app.cli.destinations",
    "import": "app.cli.migration.command",
}
"""Command → its module, which has a function of that name; `import_` for a name that Python keeps for itself."""


SUMMARIES = {
    "demo": "Show everything at work, checked against the truth.",
    "up": "Run everything on this machine.",
    "worker": "Run one runtime, for process managers and Kubernetes.",
    "validate": "Check a configuration; change nothing.",
    "schema": "Print the configuration's JSON Schema, for editors.",
    "apply": "Make the topics; put definitions into effect.",
    "send": "Produce recorded events.",
    "explain": "Tell why a profile is in or out, and until when.",
    "profile": "Show who a profile is; take an identifier out of it.",
    "regulation": "Erase people, or keep them out; and the receipts.",
    "lists": "Show who is on the lists that vendors keep, and compare.",
    "dead": "List, retry or drop what could not be delivered.",
    "destinations": "Send a destination a real message, and show it.",
    "import": "Make a configuration from another product's definitions.",
}
"""What the list of commands says of each: whole sentences, in the width of a terminal."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; gives the exit code: 0 done, 1 failed, 2 wrong usage or configuration."""
    try:
        _cli(arguments)(args=list(arguments), prog_name="headwater")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else FAILED
    except SettingsError as error:
        say(fault_lines(error.faults))
        return WRONG_USAGE
    except CommandError as error:
        say(f"headwater: {error}")
        return error.code
    except HeadwaterError as error:
        say(f"headwater: {error}")
        return FAILED
    return DONE


def _cli(arguments: Sequence[str]) -> typer.Typer:
    """The commands that this command line can be about.

    One is nearly always named, and only its module is loaded: to check a file must not take the time that it takes to
    load Kafka's clients.
    """
    cli = typer.Typer(
        name="headwater",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    cli.callback()(_headwater)
    named = [argument for argument in arguments if argument in COMMANDS][:1]
    for name in named or COMMANDS:
        cli.command(name, short_help=SUMMARIES[name])(_function(name))
    return cli


def _function(name: str) -> Callable[..., None]:
    function: Callable[..., None] = getattr(import_module(COMMANDS[name]), f"{name}_" if iskeyword(name) else name)
    return function


def _version(wanted: bool) -> None:
    if wanted:
        print(f"headwater {__version__}")
        raise typer.Exit


def _headwater(
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)] = (
        False
    ),
) -> None:
    """Real-time audiences and computed traits on your own Kafka, carried to the tools that act on them.

    \b
    Examples:
      headwater demo
      headwater validate headwater.yaml
      headwater up --config headwater.yaml
    """
