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

    The machine's clock (`wall`) is read only once. If it is changed afterwards, no entry becomes
    younger or older.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.offset = wall() - time.monotonic()

    def now(self) -> float:
        """Seconds since the Unix epoch, on the clock that all replicas share."""
        return time.monotonic() + self.offset

    # Seconds, for durations. Each hit calls this several times. A method would be slower than
    # Python's own function.
    monotonic = staticmethod(time.monotonic)

    def jitter(self) -> float:
        """A number in [0, 1)."""
        return random.random()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)

    def learn(self, redis_seconds: float, round_trip: float) -> None:
        """Note Redis' time, which was read within the last `round_trip` seconds.

        If Redis' time differs from this clock by `round_trip` or less, nothing changes, because the
        round trip alone can cause such a difference.
        """
        sample = redis_seconds + round_trip / 2.0 - time.monotonic()
        if abs(sample - self.offset) > round_trip:
            self.offset = sample


_AT_ONCE = 256
_DIGITS = 32


def ids() -> Iterator[bytes]:
    """Endless random ids of 128 bits, as hex digits. Many are made at once, because making one at a
    time would slow down hits."""
    while True:
        digits = token_hex(_AT_ONCE * _DIGITS // 2).encode("ascii")
        for start in range(0, len(digits), _DIGITS):
            yield digits[start : start + _DIGITS]


_INTERVAL = 0.25
_SAMPLES = 60


class LoopLag:
    """Measures the delay of the event loop, while `watch` runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lags: deque[float] = deque(maxlen=_SAMPLES)

    @property
    def worst(self) -> float:
        """The longest delay of the last 15 seconds, in seconds; 0.0 before the first
        measurement."""
        return max(self._lags, default=0.0)

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(_INTERVAL)
            self._lags.append(max(0.0, self._clock.monotonic() - before - _INTERVAL))
