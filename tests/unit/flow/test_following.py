"""following: single calls that nobody waits for, the most wanted first."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.core.entry import Key
from gateway.core.status import Purpose
from gateway.flow.answer import Ask
from gateway.flow.collapsing import Landed
from gateway.flow.following import Errand
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import OURS, settle
from tests.unit.flow.sweeping import Catalogue, Swept

IDS = ["t1", "t2", "t3"]


@pytest.fixture
def swept(clock: FakeClock) -> Swept:
    """A replica alone."""
    return Swept(clock, Catalogue(*IDS))


def errand(training_id: str, landed: list[Landed | None] | None = None) -> Errand:
    """One fetch, whatever is stored."""
    told: list[Landed | None] = [] if landed is None else landed
    return Errand(Ask(Key("p1", training_id), OURS), Purpose.VERIFY, told.append)


async def test_what_is_read_most_goes_first(swept: Swept) -> None:
    """As far as this replica knows."""
    for each, times in (("t1", 2), ("t2", 9), ("t3", 5)):
        for _ in range(times):
            await swept.read(each)
    swept.catalogue.asked.clear()
    for each in IDS:
        swept.following.send(errand(each))
    await swept.errands()

    assert swept.catalogue.asked == ["t2", "t3", "t1"]


async def test_the_same_errand_is_run_once(swept: Swept) -> None:
    """However often it is sent before its turn, and whoever sent it is told."""
    landed: list[Landed | None] = []
    for _ in range(3):
        swept.following.send(errand("t1", landed))

    assert swept.following.waiting == 1
    await swept.errands()
    assert (len(landed), swept.catalogue.asked) == (3, ["t1"])


async def test_without_budget_it_waits(clock: FakeClock) -> None:
    """And is not forgotten."""
    swept = Swept(clock, Catalogue(*IDS), limit=1)
    await swept.read("t3")
    swept.following.send(errand("t1"))
    first = swept.following._next()
    assert first is not None

    assert 0.0 < await swept.following._run(first) <= 5.0
    assert swept.following.waiting == 1


async def test_a_failure_is_not_tried_again_at_once(swept: Swept) -> None:
    """The next sweep sends it anew, and not before the failure is over."""
    from tests.unit.flow.house import page

    swept.catalogue.instead = lambda _: page(503)
    for _ in range(3):
        swept.following.send(errand("t1"))
        await swept.errands()

    assert swept.catalogue.asked == ["t1"]


async def test_a_callers_fetch_is_joined(swept: Swept) -> None:
    """Two calls for one answer would be one too many."""
    swept.replica.upstream.hold()
    caller = asyncio.create_task(swept.read("t1"))
    await settle()
    landed: list[Landed | None] = []
    swept.following.send(errand("t1", landed))
    errands = asyncio.create_task(swept.errands())
    await settle()
    swept.replica.upstream.release()
    await asyncio.gather(caller, errands)

    assert swept.catalogue.asked == ["t1"]
    assert len(landed) == 1


async def test_errands_run_by_themselves(swept: Swept) -> None:
    """Until the owner cancels."""
    task = asyncio.create_task(swept.following.run())
    swept.following.send(errand("t1"))
    swept.following.send(errand("t2"))
    await settle()
    await settle()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert sorted(map(str, swept.catalogue.asked)) == ["t1", "t2"]
