"""Time and chance, from one place."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The only source of time and of chance; a fake one in tests."""

    @property
    def offset(self) -> float:
        """`now` less `monotonic`: changes when the shared clock is set, and not otherwise."""
        ...

    def now(self) -> float:
        """Seconds since the Unix epoch on the clock that the replicas share."""
        ...

    def monotonic(self) -> float:
        """Seconds for durations inside this process."""
        ...

    def jitter(self) -> float:
        """A number in [0, 1), evenly spread."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...
