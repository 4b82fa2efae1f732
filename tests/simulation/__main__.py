"""Run seeds, lagging and deadly: `python -m tests.simulation FIRST COUNT`; exit 1 at the first that fails."""

import sys
import traceback

from tests.simulation.checks import run_and_check
from tests.simulation.test_simulation import DEADLY, LAGGING


def main() -> int:
    first, count = map(int, sys.argv[1:])
    crashes = 0
    for seed in range(first, first + count):
        try:
            run_and_check(seed, LAGGING)
            crashes += run_and_check(seed, DEADLY).crashes
        except Exception:
            traceback.print_exc()
            return 1
    print(f"{count} seeds from {first}, {crashes} crashes, all equal to the oracle")
    return 0


if __name__ == "__main__":
    sys.exit(main())
