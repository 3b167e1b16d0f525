"""The mode of all replicas: `normal` or `frozen` (no calls)."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from gateway.core.access.operators import LOOPBACK
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import Mode
from gateway.ports import Clock, ModeOrder, Observer, SharedMode

# Seconds between two reads of the order in Redis (`look`).
_READ_EVERY: Final = 1.0
# `Retry-After` (seconds) in the mode `frozen`. It is a guess, because the gateway cannot know when
# an operator will end the mode.
THAW: Final = 30.0

# Hits compare the mode with this constant, because looking up a member of an enum is slow.
NORMAL: Final = Mode.NORMAL


class Modes:
    """The mode of this replica. An order to any replica changes it."""

    def __init__(self, shared: SharedMode, clock: Clock, observer: Observer) -> None:
        self._shared = shared
        self._clock = clock
        self._observer = observer
        self.current: Mode = NORMAL
        # None before the first order.
        self.ordered: ModeOrder | None = None

    async def order(self, mode: Mode, by: str = LOOPBACK.name) -> None:
        """Set the mode of all replicas, in the name of the operator `by`.

        If this raises RedisUnavailable, the replica keeps its mode for now. Perhaps Redis has
        stored the order all the same. In this case all replicas, also this one, follow it later.
        """
        known = (await self._shared.read(), self.ordered)
        order = ModeOrder(mode, _later_than(known, self._clock.now()), by)
        await self._shared.write(order)
        self._follow(order)

    async def look(self) -> None:
        """Read the order in Redis, and apply it. If Redis has lost the last order that this replica
        knows, or has an earlier one, write the known order again. While Redis is away, the mode
        does not change."""
        with suppress(RedisUnavailable):
            ordered = await self._shared.read()
            if self.ordered is not None and _is_outdated(ordered, self.ordered):
                await self._shared.write(self.ordered)
            elif ordered is not None:
                self._follow(ordered)

    async def run(self) -> None:
        """Follow orders until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(_READ_EVERY)

    def _follow(self, order: ModeOrder) -> None:
        self.ordered = order
        if order.mode is not self.current:
            self.current = order.mode
            self._observer.mode_moved(order.mode, order.by)


def _later_than(known: Iterable[ModeOrder | None], now: float) -> float:
    """The time of a new order, in seconds, rounded to milliseconds. It is later than all known
    orders, even if a known one came from a replica whose clock is ahead."""
    times = (each.at for each in known if each is not None and each.at is not None)
    return max(round(now, 3), *(round(at + 0.001, 3) for at in times), 0.0)


def _is_outdated(ordered: ModeOrder | None, known: ModeOrder) -> bool:
    """Whether the order in Redis (`ordered`) is missing, or earlier than `known`."""
    if ordered is None:
        return True
    return ordered.at is not None and known.at is not None and ordered.at < known.at
