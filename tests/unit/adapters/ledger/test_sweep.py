"""The sweep of a process alone: what the contract suite cannot see."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Coroutine
from dataclasses import replace
from types import FrameType
from typing import Any, TypeVar

from gateway.adapters.ledger import LedgerSweepLease
from gateway.core.sweep.progress import Progress
from gateway.core.upstream.list_page import Page
from gateway.core.upstream.training import Training
from tests.doubles.clock import FakeClock
from tests.doubles.stored import VERSION

T = TypeVar("T")


async def test_a_read_stops_counting() -> None:
    """After so long, to the moment."""
    clock = FakeClock()
    lease = LedgerSweepLease(clock, pause_after=300.0)
    await lease.take("p1", was_read=True)

    clock.advance(299.0)
    assert (await lease.take("p1", was_read=False)).is_read
    clock.advance(1.0)
    assert not (await lease.take("p1", was_read=False)).is_read


async def test_a_page_looks_only_at_the_trainings_near_its_own() -> None:
    """However many the list has: all requests wait while a page is compared."""
    steps = []
    for size in (2_000, 20_000):
        lease = LedgerSweepLease(FakeClock(), pause_after=300.0)
        progress = Progress()
        for row in range(0, size, 100):
            some = page(*(f"t{number}" for number in range(row, row + 100)), total=size)
            after = progress.after(some, 0.0)
            await lease.advance("p1", after, some, progress)
            progress = after
        await lease.finish("p1", progress.ended(complete=True), complete=True)
        before = replace(Progress(), offset=1_000, last_id="t999")
        some = page("t1000", "t1099", total=size)
        advanced, lines = lines_of(lease.advance("p1", before, some, before))
        assert advanced is not None
        assert len(advanced.absent) == 99  # also the last one of the page before
        steps.append(lines)

    assert steps[0] == steps[1] < 1_500


def page(*ids: str, total: int) -> Page:
    """A page with these trainings, and not the last one."""
    items = tuple(Training(each, VERSION, "", b"") for each in ids)
    return Page(items, (), len(ids), total, has_more=True)


def lines_of(call: Coroutine[object, object, T]) -> tuple[T, int]:
    """The result of a call that never waits, and how many lines it runs."""
    lines, before = itertools.count(), sys.gettrace()

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line":
            next(lines)
        return trace

    sys.settrace(trace)
    try:
        call.send(None)
    except StopIteration as end:
        return end.value, next(lines)
    finally:
        sys.settrace(before)
    raise AssertionError("it waits")


async def test_the_lead_never_lapses() -> None:
    """There is nobody to take it."""
    lease = LedgerSweepLease(FakeClock(), pause_after=300.0)

    assert lease.lifetime == math.inf
    await lease.release("p1")
    assert (await lease.take("p1", was_read=False)).leads
