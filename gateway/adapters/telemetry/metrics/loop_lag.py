"""How late the event loop wakes who sleeps: what every request waits as well."""

from __future__ import annotations

from collections import deque

from gateway.ports import Clock

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
