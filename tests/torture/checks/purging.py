"""A purge against a fetch that is under way with the old body."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from gateway.simulator.faults import FaultMode
from tests.torture.check import Check, Finding
from tests.torture.stand import Setting, Stand

ONE = "trn_000001"
# So long the old body is on its way.
CALL = 1.0
WATCHED = 4.0


async def _cold(stand: Stand) -> list[Finding]:
    return [await _purge_while_fetching(stand, "a cold training")]


async def _stale(stand: Stand) -> list[Finding]:
    await stand.get(ONE)
    await asyncio.sleep(stand.setting.lifetime + 0.5)
    return [await _purge_while_fetching(stand, "a refresh")]


async def _purge_while_fetching(stand: Stand, what: str) -> Finding:
    await stand.upstream.fault(FaultMode.LATE, ids=[ONE], count=1, delay=CALL)
    fetching = asyncio.create_task(stand.get(ONE))
    await asyncio.sleep(0.3)
    edited = await stand.upstream.edit(ONE)
    status = await stand.purge(ONE)
    purged = time.monotonic()
    last_old, new, others = None, 0, Counter[int]()
    while time.monotonic() < purged + WATCHED:
        answer = await stand.get(ONE)
        version = answer.training.get("updated_at")
        if version is None:
            others[answer.status] += 1
        elif version == edited["updated_at"]:
            new += 1
        else:
            last_old = time.monotonic() - purged
        await asyncio.sleep(0.1)
    await fetching
    question = f"purged while {what} is being fetched: the old version is not served again"
    told = "".join(f"; {count} × {each}" for each, count in others.items())
    if last_old is None:
        return Finding(question, new > 0, f"0 s (purge: {status}{told})")
    return Finding(question, False, f"old for {last_old:.1f} s and more (purge: {status}{told})")


WHY = "the purge forgets what is stored, and the fetch under way stores the old body after it"
COLD = (
    'fault late \'"delay": 3, "count": 1\'',
    "(see alice-token trn_000001 & sleep 1; edit trn_000001; purge; wait)",
    "for i in $(seq 8); do see alice-token trn_000001; sleep 0.5; done",
    "now trn_000001",
)
STALE = ("see alice-token trn_000001; sleep 3", *COLD)
CHECKS = (
    Check("purge: cold", WHY, COLD, Setting(lifetime=5), _cold),
    Check("purge: refresh", WHY, STALE, Setting(lifetime=2), _stale),
)
