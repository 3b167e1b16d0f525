"""The gateway with an L1 that was filled directly.

`python -m tests.bench.filled ENTRIES BODY CREDENTIALS`: for each credential the same trainings,
ENTRIES in all, with bodies of BODY bytes, fresh for hours. Settings come from the environment, as
for `gateway serve`.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import cycle, islice

from uvicorn.loops.auto import auto_loop_factory

from gateway.app import run
from gateway.app.compose import House, compose
from gateway.settings import Settings, load
from tests.bench.memory import put


def main(entries: int, body: int, credentials: int) -> None:
    """Serve until told to stop."""

    def filled(settings: Settings) -> House:
        house = compose(settings)
        tokens = [b"Bearer t-%d" % n for n in range(1, credentials + 1)]
        partitions = [house.admission.callers.admit((each,)).partition for each in tokens]
        now = house.clock.now()
        for number, partition in enumerate(islice(cycle(partitions), entries)):
            put(house.local, partition, number // credentials + 1, body, now)
        return house

    run.__dict__["compose"] = filled
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(run.serve(load(None)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
