"""In which mode this replica serves, the same as the others: an operator's word.

What it means to a request is request/mode_handler's business, what it means to a call
fill/upstream_call's.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from gateway.core.access.operators import LOOPBACK
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import Mode
from gateway.ports import Clock, ModeOrder, Observer, SharedMode

# Seconds between two looks, and so until the last replica follows an order.
_LOOK: Final = 1.0
# Nobody knows when an operator will thaw it.
THAW: Final = 30.0

# Names of enums are dear, and each hit asks.
NORMAL: Final = Mode.NORMAL


class Modes:
    """The mode, followed wherever it is ordered."""

    def __init__(self, shared: SharedMode, clock: Clock, observer: Observer) -> None:
        self._shared = shared
        self._clock = clock
        self._observer = observer
        self.current: Mode = NORMAL
        # The order that made it so; None before the first one.
        self.ordered: ModeOrder | None = None

    async def order(self, mode: Mode, by: str = LOOPBACK.name) -> None:
        """Have all replicas serve in it, as the operator of that name ordered; raises
        RedisUnavailable, and then nothing changed."""
        order = ModeOrder(mode, self._clock.now(), by)
        await self._shared.write(order)
        self._follow(order)

    async def look(self) -> None:
        """Follow what was ordered elsewhere; while Redis is away the last word holds."""
        with suppress(RedisUnavailable):
            ordered = await self._shared.read()
            if ordered is not None:
                self._follow(ordered)
            elif self.ordered is not None and self.current is not NORMAL:
                await self._shared.write(self.ordered)  # Redis lost it, its replicas have not

    async def run(self) -> None:
        """Keep following, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(_LOOK)

    def _follow(self, order: ModeOrder) -> None:
        self.ordered = order
        if order.mode is not self.current:
            self.current = order.mode
            self._observer.mode_moved(order.mode, order.by)
