"""Time and random numbers from one place."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """A source of time and random numbers. Tests use a fake."""

    @property
    def offset(self) -> float:
        """`now` minus `monotonic`. It changes when `now` is corrected to the shared clock."""

    def now(self) -> float:
        """Seconds since the Unix epoch on the clock that the replicas share."""

    def monotonic(self) -> float:
        """Seconds for durations inside this process."""

    def jitter(self) -> float:
        """A random number in [0, 1)."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
