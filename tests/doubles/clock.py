"""A clock that goes as told: wall and monotonic time together or apart, chance by script."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class FakeClock:
    """`sleep` advances the time by itself, or with `waiting` until a test advances it so far."""

    def __init__(self, start: float = 1_700_000_000.0, *, waiting: bool = False) -> None:
        self._monotonic = 1000.0
        self._offset = start - self._monotonic
        self._waiting = waiting
        self._jitters: list[float] = []
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self.slept: list[float] = []

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and wake who slept until then."""
        self._monotonic += seconds
        for until, awake in self._sleepers:
            if until <= self._monotonic:
                awake.set()

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back; no time passes."""
        self._offset += seconds

    def script(self, jitters: Iterable[float]) -> None:
        """The next numbers of chance; 0.0 after them."""
        self._jitters.extend(jitters)

    @property
    def offset(self) -> float:
        return self._offset

    def now(self) -> float:
        return self._monotonic + self._offset

    def monotonic(self) -> float:
        return self._monotonic

    def jitter(self) -> float:
        return self._jitters.pop(0) if self._jitters else 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self._waiting:
            self.advance(seconds)
            await asyncio.sleep(0)
            return
        sleeper = (self._monotonic + seconds, asyncio.Event())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers.remove(sleeper)
