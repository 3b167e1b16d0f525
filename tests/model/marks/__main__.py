"""Search for a history that breaks a promise: `python -m tests.model.marks --histories 30000`."""

from __future__ import annotations

import argparse
import sys

from tests.model.marks.history import failure, make, shortest, written
from tests.model.marks.rules import Rule


def main() -> int:
    """Print each 1,000 histories, and the first that fails, in its shortest form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=30_000)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--without", nargs="*", default=[], choices=[rule.name for rule in Rule])
    options = parser.parse_args()
    without = {Rule[name] for name in options.without}
    for number in range(1, options.histories + 1):
        steps = list(make(f"{options.seed}/{number}"))
        if failure(steps, without):
            steps = shortest(steps, without)
            tale = "\n".join(failure(steps, without) or ())
            sys.stdout.write(f"history {number}: {written(steps)}\n{tale}\n")
            return 1
        if number % 1_000 == 0:
            sys.stdout.write(f"{number} histories keep all promises\n")
            sys.stdout.flush()
    return 0


sys.exit(main())
