"""The real clock and the real chance, which nobody else names: time, random numbers, ids of
requests that came without one. Also how late the event loop wakes a task that sleeps.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from secrets import token_hex

from gateway.ports import Clock


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


_AT_ONCE = 256
_DIGITS = 32


def ids() -> Iterator[bytes]:
    """Ids without end, 128 bits each as hex digits; the system is asked for many at once, since
    each hit needs one."""
    while True:
        digits = token_hex(_AT_ONCE * _DIGITS // 2).encode("ascii")
        for start in range(0, len(digits), _DIGITS):
            yield digits[start : start + _DIGITS]


_INTERVAL = 0.25
_SAMPLES = 60


class LoopLag:
    """Measures the loop it is watched in; `worst` is over the last quarter of a minute.

    The worst, not the last: a scrape comes seldom, and a stall in between is what matters.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lags: deque[float] = deque(maxlen=_SAMPLES)

    @property
    def worst(self) -> float:
        """Seconds; 0.0 before the first measurement."""
        return max(self._lags, default=0.0)

    async def watch(self) -> None:
        """Measure until cancelled; its task is the caller's to own."""
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(_INTERVAL)
            self._lags.append(max(0.0, self._clock.monotonic() - before - _INTERVAL))
