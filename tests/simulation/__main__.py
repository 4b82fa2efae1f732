"""Run seeds: `python -m tests.simulation FIRST COUNT [people|twins|accounts]`; exit 1 at the first that fails.

By the simple rule lagging and deadly; of people who turn out to be one in every shape that there is, or who have sent
messages of one id besides; of accounts killed with and without lag.
"""

import sys
import traceback
from collections import Counter

from tests.simulation.check_accounts import run_accounts
from tests.simulation.check_people import run_people
from tests.simulation.checks import run_and_check
from tests.simulation.test_accounts import SHAPES as OF_ACCOUNTS
from tests.simulation.test_simulation import DEADLY, LAGGING, SHAPES


def main() -> int:
    first, count = map(int, sys.argv[1:3])
    crashes = 0
    counts: Counter[str] = Counter()
    for seed in range(first, first + count):
        try:
            if "people" in sys.argv or "twins" in sys.argv:
                for faults, kind in SHAPES:
                    counts += run_people(seed, faults, kind, twins="twins" in sys.argv)
                crashes = counts["crashes"]
            elif "accounts" in sys.argv:
                for faults, partitions in (OF_ACCOUNTS["killed"], OF_ACCOUNTS["deadly"]):
                    counts += run_accounts(seed, faults, partitions)
                crashes = counts["crashes"]
            else:
                run_and_check(seed, LAGGING)
                crashes += run_and_check(seed, DEADLY).crashes
        except Exception:
            traceback.print_exc()
            return 1
    print(f"{count} seeds from {first}, {crashes} crashes, all equal to the oracle {dict(counts) or ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
