"""Search for a history that breaks a promise: `python -m tests.model.marks --histories 30000`."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack

from tests.model.marks.history import failure, make, shortest, written
from tests.model.marks.plants import PLANTS, planted


def main() -> int:
    """Print each 1,000 histories, and the first that fails, in its shortest form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=30_000)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--without", choices=PLANTS)
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.without:
            stack.enter_context(planted(PLANTS[options.without]))
        return _search(options.histories, options.seed)


def _search(histories: int, seed: str) -> int:
    for number in range(1, histories + 1):
        steps = list(make(f"{seed}/{number}"))
        if failure(steps):
            steps = shortest(steps)
            tale = "\n".join(failure(steps) or ())
            sys.stdout.write(f"history {number}: {written(steps)}\n{tale}\n")
            return 1
        if number % 1_000 == 0:
            sys.stdout.write(f"{number} histories keep all promises\n")
            sys.stdout.flush()
    return 0


sys.exit(main())
