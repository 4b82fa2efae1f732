"""Run worlds: `python -m tests.identity FIRST COUNT`; exit 1 at the first that fails."""

import sys
import traceback
from collections import Counter

from tests.identity.test_identity_world import run_and_check


def main() -> int:
    first, count = map(int, sys.argv[1:])
    counts: Counter[str] = Counter()
    for seed in range(first, first + count):
        try:
            counts += run_and_check(seed)
        except Exception:
            traceback.print_exc()
            return 1
    print(f"{count} seeds from {first}: {dict(counts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
