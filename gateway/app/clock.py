"""The real clock, random numbers, ids of requests, and the measured lag of the event loop."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from secrets import token_hex

from gateway.ports import Clock


class SystemClock:
    """The clock of this process. It follows Redis' clock, if there is a Redis.

    `now` is the monotonic clock plus an offset, which `learn` may change. The machine's clock
    (`wall`) is read only once, so a later change of it makes no entry younger or older. Tests pass
    a wrong `wall`.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.offset = wall() - time.monotonic()

    def now(self) -> float:
        """Seconds since the Unix epoch, on the clock that all replicas share."""
        return time.monotonic() + self.offset

    # Measures durations, in seconds. Each hit calls it several times, so it is Python's own
    # function: a method around it would be slower.
    monotonic = staticmethod(time.monotonic)

    def jitter(self) -> float:
        """A number in [0, 1)."""
        return random.random()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)

    def learn(self, redis_seconds: float, round_trip: float) -> None:
        """Note Redis' time, which was read within the last `round_trip` seconds. If Redis' time
        differs from `now` by `round_trip` or less, the difference is ignored, because the round
        trip alone may cause it."""
        sample = redis_seconds + round_trip / 2.0 - time.monotonic()
        if abs(sample - self.offset) > round_trip:
            self.offset = sample


_AT_ONCE = 256
_DIGITS = 32


def ids() -> Iterator[bytes]:
    """Endless random ids of 128 bits, as hex digits. Many are taken from the operating system at
    once, because one at a time would make hits slower."""
    while True:
        digits = token_hex(_AT_ONCE * _DIGITS // 2).encode("ascii")
        for start in range(0, len(digits), _DIGITS):
            yield digits[start : start + _DIGITS]


_INTERVAL = 0.25
_SAMPLES = 60


class LoopLag:
    """Measures the delay of the event loop, while `watch` runs. `worst` is the longest delay in the
    last 15 seconds. The last delay alone would not be enough, because it is rarely read just after
    a stall."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lags: deque[float] = deque(maxlen=_SAMPLES)

    @property
    def worst(self) -> float:
        """Seconds; 0.0 before the first measurement."""
        return max(self._lags, default=0.0)

    async def watch(self) -> None:
        """Measure until cancelled by the owner."""
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(_INTERVAL)
            self._lags.append(max(0.0, self._clock.monotonic() - before - _INTERVAL))
