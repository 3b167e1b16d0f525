"""A bus in memory: several replicas of one test hear of each other at once, or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable

from gateway.ports import Confirmations, Notice

Apply = Callable[[Notice], None]


class Hub:
    """Where the buses meet. `deaf` names those whom nothing reaches."""

    def __init__(self) -> None:
        self.hearers: dict[HubBus, Apply] = {}
        self.deaf: set[HubBus] = set()
        self.told: list[Notice] = []

    def tell(self, teller: HubBus, notice: Notice) -> int:
        """Let the others hear it; how many did."""
        self.told.append(notice)
        others = [bus for bus in self.hearers if bus is not teller and bus.is_connected]
        for bus in others:
            self.hearers[bus](notice)
        return len(others)

    async def confirm(self, teller: HubBus, notice: Notice) -> Confirmations:
        """Tell the others; those who hear have done it at once."""
        return Confirmations(len(self.hearers), 1 + self.tell(teller, notice))


class HubBus:
    """One replica's bus (ports.Bus)."""

    def __init__(self, hub: Hub, apply: Apply) -> None:
        self._hub = hub
        self.alive_until = self.listed_until = math.inf
        hub.hearers[self] = apply

    @property
    def replicas(self) -> int:
        """All who meet here."""
        return len(self._hub.hearers)

    @property
    def is_connected(self) -> bool:
        """Whether notices of others arrive."""
        return self not in self._hub.deaf

    async def announce(self, notice: Notice) -> None:
        """Tell the others."""
        self._hub.tell(self, notice)

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """Tell the others and wait for them."""
        return await self._hub.confirm(self, notice)

    async def enter(self) -> None:
        """Whoever is there is waited for."""

    async def listen(self, apply: Apply, gap: Callable[[], None]) -> None:
        """Nothing to wait for: notices come when they are told."""
