"""The mode that an operator ordered, kept where all replicas find it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.core.vocabulary import Mode


@dataclass(frozen=True, slots=True)
class ModeOrder:
    """An order to serve in a mode: when it was given, in seconds on the shared clock, and the name
    of the operator; None where either is not known."""

    mode: Mode
    at: float | None = None
    by: str | None = None


class SharedMode(Protocol):
    """Where the mode that an operator ordered is kept. Raises RedisUnavailable."""

    async def read(self) -> ModeOrder | None:
        """The last order; None if there was none."""
        ...

    async def write(self, order: ModeOrder) -> None:
        """Order it for all replicas."""
        ...


class AloneMode:
    """The mode of a process that has no other replicas: `Modes` itself remembers it."""

    async def read(self) -> ModeOrder | None:
        """No other replica takes orders."""
        return None

    async def write(self, order: ModeOrder) -> None:
        """There is no other replica to tell."""
