"""The crash test in its long form, on a broker of its own; exit 1 if anything differs from the oracle.

python -m tests.faults --events 200000 --kills 20
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import traceback
from pathlib import Path
from random import SystemRandom
from tempfile import mkdtemp

from app.embedded.broker import EmbeddedBroker
from tests.faults.crash import NAMED, Plan, deaths, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=20, help="in each mode, every failpoint among them")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000))
    parser.add_argument("--mode", choices=("keeping", "deleting", "both"), default="both", help="the data directory")
    return asyncio.run(_run(parser.parse_args()))


async def _run(options: argparse.Namespace) -> int:
    modes = ("keeping", "deleting") if options.mode == "both" else (options.mode,)
    folder = Path(mkdtemp(prefix="headwater-faults-"))
    broker = EmbeddedBroker(folder / "broker", heap_mb=512)
    try:
        await broker.start()
        for mode in modes:
            named = NAMED[: options.kills]
            plan = Plan(options.seed, options.events, deaths(options.seed, named, options.kills), mode == "deleting")
            print(plan, flush=True)
            print(await run(plan, broker.bootstrap, folder / mode, f"{mode}."), flush=True)
    except Exception:
        traceback.print_exc()
        print(f"what is left is in {folder}", file=sys.stderr)
        return 1
    else:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    finally:
        await broker.stop()


if __name__ == "__main__":
    sys.exit(main())
