"""`python -m app`: the `headwater` command."""

import sys


def main() -> None:
    """Run the command line and exit with its code: 0 done, 1 failed, 2 wrong usage or configuration."""
    from app.cli.commands import run  # Imported late so that a worker started as a library never loads the CLI.

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
