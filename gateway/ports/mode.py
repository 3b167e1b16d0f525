"""An operator's word on the mode, where all replicas hear it."""

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
    """Where an operator's word on the mode is kept; raises RedisUnavailable."""

    async def read(self) -> ModeOrder | None:
        """What was ordered last; None where nothing was."""
        ...

    async def write(self, order: ModeOrder) -> None:
        """Order it for all replicas."""
        ...


class AloneMode:
    """The mode of a process without others: Modes itself remembers it."""

    async def read(self) -> ModeOrder | None:
        """Nobody else orders."""
        return None

    async def write(self, order: ModeOrder) -> None:
        """Nobody else is told."""
