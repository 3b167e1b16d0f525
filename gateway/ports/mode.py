"""An operator's word on the mode, where all replicas hear it."""

from __future__ import annotations

from typing import Protocol

from gateway.core.vocabulary import Mode


class SharedMode(Protocol):
    """Where an operator's word on the mode is kept; raises RedisUnavailable."""

    async def read(self) -> Mode | None:
        """What was ordered last; None where nothing was."""
        ...

    async def write(self, mode: Mode) -> None:
        """Order it for all replicas."""
        ...


class AloneMode:
    """The mode of a process without others: Modes itself remembers it."""

    async def read(self) -> Mode | None:
        """Nobody else orders."""
        return None

    async def write(self, mode: Mode) -> None:
        """Nobody else is told."""
