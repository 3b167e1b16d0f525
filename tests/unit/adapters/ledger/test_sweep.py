"""The sweep of a process alone: what the contract suite cannot see."""

from __future__ import annotations

import math

from gateway.adapters.ledger import LedgerSweepLease
from tests.doubles.clock import FakeClock


async def test_a_read_stops_counting() -> None:
    """After so long, to the moment."""
    clock = FakeClock()
    lease = LedgerSweepLease(clock, pause_after=300.0)
    await lease.take("p1", was_read=True)

    clock.advance(299.0)
    assert (await lease.take("p1", was_read=False)).is_read
    clock.advance(1.0)
    assert not (await lease.take("p1", was_read=False)).is_read


async def test_the_lead_never_lapses() -> None:
    """There is nobody to take it."""
    lease = LedgerSweepLease(FakeClock(), pause_after=300.0)

    assert lease.lifetime == math.inf
    await lease.release("p1")
    assert (await lease.take("p1", was_read=False)).leads
