"""The command line: every command, and how errors become exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from app import __version__
from app.cli.apply import apply
from app.cli.output import DONE, FAILED, WRONG_USAGE, CommandError, fault_lines, say
from app.cli.send import send
from app.cli.up import up
from app.cli.validate import validate
from app.cli.worker import worker
from app.errors import HeadwaterError, SettingsError

cli = typer.Typer(
    name="headwater",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"headwater {__version__}")
        raise typer.Exit


@cli.callback()
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


def demo(
    seconds: Annotated[float, typer.Option("--seconds", min=5.0, max=3600.0, help="Seconds of traffic.")] = 45.0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data directory, and say where it is.")] = False,
) -> None:
    """Show everything at work: a shop's events, audiences, traits and deliveries, checked against the truth.

    \b
    Examples:
      headwater demo
      headwater demo --seconds 20 --keep
    """
    from app.cli.demo import demo as show  # Its shop and its terminal view are no other command's business.

    raise typer.Exit(show(seconds=seconds, keep=keep))


for command in (demo, up, worker, validate, apply, send):
    cli.command()(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; gives the exit code: 0 done, 1 failed, 2 wrong usage or configuration."""
    try:
        cli(args=list(arguments), prog_name="headwater")
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
