"""Callers of a replica while it sweeps, in virtual time."""

from __future__ import annotations

import asyncio
import random
from statistics import median
from typing import Any, cast

import pytest

from gateway.core.budget.window_log import Rate
from gateway.core.cache.entry import Key
from gateway.core.errors import BudgetExhausted
from gateway.core.sweep.staleness_bound import Pace
from gateway.core.vocabulary import Purpose
from gateway.ports import Call
from tests.doubles.budgets import rules_of
from tests.doubles.clock import FakeClock
from tests.doubles.virtual_time import VirtualClock, in_virtual_time
from tests.unit.flow.house import minute_of, ok
from tests.unit.flow.sweeping import Catalogue, Swept, of_list

IDS = [f"t{number:04d}" for number in range(500)]
UNLISTED = "unlisted"
SHARE = 0.5


class LateClock(VirtualClock):
    """Each sleep takes a moment longer, as on a busy machine."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds + 0.1 * self.jitter())


class World:
    """A replica that sweeps from the beginning. A page takes `page_takes` seconds."""

    def __init__(self, limit: int, page_takes: float) -> None:
        self._clock = LateClock(random.Random(1))
        clock = cast(FakeClock, self._clock)
        self.catalogue = Catalogue(*IDS)
        self.catalogue.during = self._travel
        self.catalogue.instead = self._unlisted
        self._page_takes = page_takes
        pace = Pace(Rate(limit, 60.0), SHARE, None, 30.0, 0.0)
        rules = rules_of(limit, sweep_share=SHARE)
        self._swept = Swept(clock, self.catalogue, pace=pace, budget_rules=rules)
        self._began = self._clock.monotonic()
        works = self._swept.sweep.run(), self._swept.replica.refresher.run()
        self._tasks = [asyncio.create_task(each) for each in works]

    async def _travel(self, call: Call) -> None:
        await asyncio.sleep(self._page_takes if of_list(call) else 0.05)

    @staticmethod
    def _unlisted(call: Call) -> Any:
        return ok(1, training_id=UNLISTED) if call.training_id == UNLISTED else None

    async def read(self, training_id: str) -> int | None:
        """The version that a caller gets. None: a 503."""
        self._swept.reads += 1
        try:
            return minute_of(await self._swept.replica.get(Key("p1", training_id)))
        except BudgetExhausted:
            return None

    async def edit(self, training_id: str) -> float:
        """Edit the training. Returns after how many seconds a caller gets the new version."""
        began = self.seconds()
        version = self.catalogue.minutes[training_id] = self.catalogue.minutes[training_id] + 1
        while await self.read(training_id) != version:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return self.seconds() - began

    def calls(self, *purposes: Purpose) -> int:
        """How many calls were made."""
        return sum(each.purpose in purposes for each in self._swept.replica.upstream.calls)

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
        world = World(limit=20, page_takes=0.3)
        for at in range(len(IDS), 0, -40):
            while not all(await asyncio.gather(*map(world.read, IDS[max(0, at - 40) : at]))):
                assert world.seconds() < 40.0
                await asyncio.sleep(0.1)
        assert world.calls(Purpose.MISS) == 0
        assert world.denied() == 40
        await world.end()
        return world.seconds()

    assert in_virtual_time(reader()) < 35.0


def test_a_miss_makes_its_call_if_calls_are_free() -> None:
    """The list is slow, and the training is not on it: its caller waits for 10 s."""

    async def reader() -> float:
        world = World(limit=1_000, page_takes=6.0)
        assert await world.read(UNLISTED)
        await world.end()
        return world.seconds()

    assert 10.0 <= in_virtual_time(reader()) < 12.0


def test_edits_are_seen_in_half_a_sweep_that_takes_its_whole_share() -> None:
    """Five hundred trainings and sixty calls a minute: a sweep takes 10.1 s. None of its calls is
    spent on the single call that each sweep makes."""

    async def edits() -> list[float]:
        world = World(limit=60, page_takes=0.1)
        await world.read(IDS[0])  # the sweep goes on only while somebody reads
        await asyncio.sleep(100.0)
        began, read = world.seconds(), world.calls(Purpose.SWEEP)
        edits = []
        for each in random.Random(3).sample(IDS, 60):
            edits.append(asyncio.create_task(world.edit(each)))
            await asyncio.sleep(0.7)
        pages = world.calls(Purpose.SWEEP) - read
        assert pages / (world.seconds() - began) == pytest.approx(60 * SHARE / 60.5, abs=0.03)
        lags = await asyncio.gather(*edits)
        await world.end()
        return lags

    lags = in_virtual_time(edits())

    assert median(lags) <= 6.0
    assert max(lags) <= 10.1 + 1.0
