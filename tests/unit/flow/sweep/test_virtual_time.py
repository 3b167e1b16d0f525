"""Callers that read from an empty replica during its first sweep, in virtual time."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

from gateway.core.budget.window_log import Rate
from gateway.core.cache.entry import Key
from gateway.core.errors import BudgetExhausted
from gateway.core.sweep.staleness_bound import Pace
from gateway.core.vocabulary import Purpose
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.doubles.virtual_time import VirtualClock, in_virtual_time
from tests.unit.flow.house import ok
from tests.unit.flow.sweeping import Catalogue, Swept, of_list

IDS = [f"t{number:04d}" for number in range(500)]
UNLISTED = "unlisted"


class LateClock(VirtualClock):
    """Each sleep takes a moment longer, as on a busy machine."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds + 0.1 * self.jitter())


class Cold:
    """A replica that sweeps from the beginning. A page takes `page_takes` seconds."""

    def __init__(self, limit: int, page_takes: float) -> None:
        self._clock = LateClock(random.Random(1))
        clock = cast(FakeClock, self._clock)
        self._catalogue = Catalogue(*IDS)
        self._catalogue.during = self._travel
        self._catalogue.instead = self._unlisted
        self._page_takes = page_takes
        pace = Pace(Rate(limit, 60.0), 0.5, None, 30.0, 0.0)
        self._swept = Swept(clock, self._catalogue, pace=pace, limit=limit, start_paced=True)
        self._began = self._clock.monotonic()
        works = self._swept.sweep.run(), self._swept.replica.refresher.run()
        self._tasks = [asyncio.create_task(each) for each in works]

    async def _travel(self, call: Call) -> None:
        await asyncio.sleep(self._page_takes if of_list(call) else 0.05)

    @staticmethod
    def _unlisted(call: Call) -> Any:
        return ok(1, training_id=UNLISTED) if call.training_id == UNLISTED else None

    async def read(self, training_id: str) -> bool:
        """Whether a caller gets the training."""
        self._swept.reads += 1
        try:
            await self._swept.replica.get(Key("p1", training_id))
        except BudgetExhausted:
            return False
        return True

    def calls(self, purpose: Purpose) -> int:
        """How many calls were made."""
        return sum(each.purpose is purpose for each in self._swept.replica.upstream.calls)

    def denied(self) -> int:
        """How many misses got no call."""
        denied = self._swept.replica.observer.of("budget_denied")
        return sum(each[0] is Purpose.MISS for each in denied)

    def seconds(self) -> float:
        """Since the beginning."""
        return self._clock.monotonic() - self._began

    async def end(self) -> None:
        """End it."""
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def test_the_first_sweep_gets_each_call_while_calls_are_short() -> None:
    """Twenty calls a minute, and a reader of forty trainings at a time that begins at the end of
    the list: its requests wait for 15 s, and make no call."""

    async def reader() -> float:
        cold = Cold(limit=20, page_takes=0.3)
        for at in range(len(IDS), 0, -40):
            while not all(await asyncio.gather(*map(cold.read, IDS[max(0, at - 40) : at]))):
                assert cold.seconds() < 40.0
        assert cold.calls(Purpose.MISS) == 0
        assert cold.denied() == 40
        await cold.end()
        return cold.seconds()

    assert in_virtual_time(reader()) < 35.0


def test_a_miss_makes_its_call_if_calls_are_free() -> None:
    """The list is slow, and the training is not on it: its caller waits for 10 s."""

    async def reader() -> float:
        cold = Cold(limit=1_000, page_takes=6.0)
        assert await cold.read(UNLISTED)
        await cold.end()
        return cold.seconds()

    assert 10.0 <= in_virtual_time(reader()) < 12.0
