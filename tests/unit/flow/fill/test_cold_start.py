"""cold_start: which misses wait for the first sweep, and for how long."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.adapters.ledger import LocalBudget
from gateway.core.access.caller import Caller
from gateway.flow.fill.cold_start import ColdStart
from tests.doubles.budgets import rules_of
from tests.doubles.clock import FakeClock
from tests.doubles.observer import RecordingObserver
from tests.unit.flow.house import CALLER, OURS, settle

THEIRS = replace(CALLER, owns_token=True)
LONG = 600.0


class Stage:
    """Misses, the accepted partitions, and the misses whose fetch has begun."""

    def __init__(self, patience: float = LONG) -> None:
        self.partitions: set[str] = set()
        self.parts = LocalBudget(FakeClock(), rules_of(None)), RecordingObserver()
        self.cold_start = ColdStart(patience, *self.parts, self.partitions.__contains__)
        self.fetched: list[str] = []
        self.answered = asyncio.Event()

    async def miss(self, name: str, caller: Caller) -> None:
        """A miss, whose fetch ends when `answered` is set."""
        async with self.cold_start.before(caller):
            self.fetched.append(name)
            await self.answered.wait()

    async def misses(self, *names: str, caller: Caller = THEIRS) -> list[asyncio.Task[None]]:
        """Misses that come in this order."""
        tasks = [asyncio.create_task(self.miss(each, caller)) for each in names]
        await settle()
        return tasks


async def test_the_first_miss_tests_the_token_and_the_others_wait_for_the_sweep() -> None:
    """Also once the token is accepted, until the sweep has ended, or until there is none."""
    stage = Stage()
    tasks = await stage.misses("first", "second", "third")
    stage.cold_start.release_others(())  # it is not known yet whether there will be a sweep
    await settle()
    assert stage.fetched == ["first"]

    stage.partitions.add(THEIRS.partition)
    stage.answered.set()
    await settle()
    assert stage.fetched == ["first"]
    stage.cold_start.note(THEIRS.partition, is_filling=True)
    stage.cold_start.release_others({THEIRS.partition})
    await settle()
    assert stage.fetched == ["first"]

    stage.cold_start.note(THEIRS.partition, is_filling=False)

    await asyncio.gather(*tasks)
    assert stage.fetched == ["first", "second", "third"]
    await asyncio.gather(*await stage.misses("later"))


async def test_a_refused_token_holds_nobody() -> None:
    """The next misses test it again."""
    stage = Stage()
    tasks = await stage.misses("first", "second")
    stage.answered.set()

    await asyncio.gather(*tasks)

    stage.answered.clear()
    await stage.misses("third", "fourth")
    assert stage.fetched == ["first", "second", "third"]


async def test_a_test_without_an_answer_holds_the_others_for_the_patience() -> None:
    """One training that hangs is no reason to let all others wait for longer."""
    stage = Stage(patience=0.1)
    await stage.misses("hangs", "second")
    assert stage.fetched == ["hangs"]

    await asyncio.sleep(0.3)

    assert stage.fetched == ["hangs", "second"]


@pytest.mark.parametrize("caller", [OURS, THEIRS])
async def test_a_partition_without_a_sweep_waits_for_the_decision_alone(caller: Caller) -> None:
    """Then its misses never wait again."""
    stage = Stage()
    stage.partitions.add(caller.partition)
    tasks = await stage.misses("first", "second", caller=caller)
    assert stage.fetched == []

    stage.cold_start.release_others(())
    stage.answered.set()

    await asyncio.gather(*tasks)
    await asyncio.gather(*await stage.misses("later", caller=caller))


async def test_without_sweeps_no_miss_waits() -> None:
    """Neither for a test nor for a decision."""
    stage = Stage()
    stage.cold_start = ColdStart(LONG, *stage.parts)

    await stage.misses("first", "second")

    assert stage.fetched == ["first", "second"]
