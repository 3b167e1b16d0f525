"""A bus in memory: several replicas of one test hear of each other at once, or not at all."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.errors import RedisUnavailable
from gateway.core.status import RedisOperation
from gateway.ports import Confirmations, Notice

Apply = Callable[[Notice], None]


class Hub:
    """Where the buses meet. `deaf` names those whom nothing reaches, `away` silences all."""

    def __init__(self) -> None:
        self.hearers: dict[HubBus, Apply] = {}
        self.deaf: set[HubBus] = set()
        self.away = False
        self.told: list[Notice] = []


class HubBus:
    """One replica's bus (ports.Bus)."""

    def __init__(self, hub: Hub, apply: Apply) -> None:
        self._hub = hub
        hub.hearers[self] = apply

    @property
    def is_connected(self) -> bool:
        """Whether notices of others arrive."""
        return not self._hub.away and self not in self._hub.deaf

    async def announce(self, notice: Notice) -> None:
        """Tell the others."""
        self._tell(notice)

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """Tell the others; those who hear have done it at once."""
        return Confirmations(len(self._hub.hearers), 1 + self._tell(notice))

    async def listen(self, apply: Apply, gap: Callable[[], None]) -> None:
        """Nothing to wait for: notices come when they are told."""

    def _tell(self, notice: Notice) -> int:
        if self._hub.away:
            raise RedisUnavailable(RedisOperation.BUS, "it is away")
        self._hub.told.append(notice)
        others = [bus for bus in self._hub.hearers if bus is not self and bus.is_connected]
        for bus in others:
            self._hub.hearers[bus](notice)
        return len(others)
