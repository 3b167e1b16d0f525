"""A loop whose time jumps to the next timer, and its clock: minutes pass in a moment."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer."""

    def __init__(self) -> None:
        self.virtual = 1_000.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.virtual


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout:
            self._loop.virtual += timeout
        return ready


class VirtualClock:
    """The time of the loop."""

    offset = 1_700_000_000.0

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> float:
        return self.monotonic() + self.offset

    def jitter(self) -> float:
        return self._chance.random()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """The result of this work."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
