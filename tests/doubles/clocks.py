"""Clocks beside the fake one: it ticks when it is read, or it is the real one and jumps at will."""

from __future__ import annotations

import asyncio
import time

from tests.doubles.clock import FakeClock


class TickingClock(FakeClock):
    """A millisecond passes with each look at the wall clock: no two moments are the same."""

    def now(self) -> float:
        self.advance(0.001)
        return round(super().now(), 6)


class RealClock:
    """The real one, moved forward by what `advance` was told."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self.offset = time.time() - time.monotonic()

    def advance(self, seconds: float) -> None:
        """Be so much further ahead of the real time."""
        self._ahead += seconds

    def now(self) -> float:
        return self.monotonic() + self.offset

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def jitter(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
