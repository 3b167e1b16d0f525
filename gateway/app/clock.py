"""The real clock and the real chance; nobody else names them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable


class SystemClock:
    """The clock of this process, set by Redis' where there is one.

    `now` runs with the monotonic clock from an offset, so that a step of the machine's clock
    makes no entry younger or older; each sample of Redis' clock may move that. `wall` is
    the machine's clock, read once: a test's may be wrong.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.offset = wall() - time.monotonic()

    def now(self) -> float:
        """Seconds since the Unix epoch on the shared clock."""
        return time.monotonic() + self.offset

    # Seconds for durations; not a method of ours, since each hit asks several times.
    monotonic = staticmethod(time.monotonic)

    def jitter(self) -> float:
        """A number in [0, 1)."""
        return random.random()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)

    def learn(self, redis_seconds: float, round_trip: float) -> None:
        """Take Redis' time, read somewhere within the last `round_trip` seconds.

        A sample that agrees with the offset within its own error changes nothing: it
        would only jump to and fro by the length of round trips.
        """
        sample = redis_seconds + round_trip / 2.0 - time.monotonic()
        if abs(sample - self.offset) > round_trip:
            self.offset = sample
