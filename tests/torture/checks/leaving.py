"""Callers who hang up in mid-fetch."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.torture.check import Check, Finding
from tests.torture.stand import Setting, Stand

ONE, TWO = "trn_000001", "trn_000002"
CALL = 1.0


async def _first_leaves(stand: Stand) -> list[Finding]:
    await stand.upstream.latency(CALL)
    first = asyncio.create_task(stand.get(ONE))
    await asyncio.sleep(CALL / 4)
    followers = asyncio.create_task(stand.crowd(ONE, 20))
    await asyncio.sleep(CALL / 4)
    await _hang_up(first)
    answers = await followers
    calls = await stand.calls(ONE)
    slowest = max(answer.seconds for answer in answers)
    served = all(answer.status == 200 for answer in answers)
    return [
        Finding(
            "the first caller leaves, 20 wait: one call, all are answered",
            calls == 1 and served,
            f"{calls} calls, slowest {slowest:.1f} s",
        )
    ]


async def _only_leaves(stand: Stand) -> list[Finding]:
    await stand.upstream.latency(CALL)
    only = asyncio.create_task(stand.get(TWO))
    await asyncio.sleep(CALL / 2)
    await _hang_up(only)
    await asyncio.sleep(CALL)
    answer = await stand.get(TWO)
    calls = await stand.calls(TWO)
    return [
        Finding(
            "the only caller leaves: what was fetched is kept for the next one",
            calls == 1 and answer.status == 200,
            f"{calls} calls",
        )
    ]


async def _hang_up(asked: asyncio.Task[object]) -> None:
    asked.cancel()
    with suppress(asyncio.CancelledError):
        await asked


SLOW = "order latency '{\"latency\": 2}'"
FIRST = (
    SLOW,
    "time (PATIENCE=1 see alice-token trn_000001 & sleep 0.5; "
    "crowd alice-token $(times 20 trn_000001); wait); asked",
)
ONLY = (
    SLOW,
    "PATIENCE=1 see alice-token trn_000002; sleep 2; see alice-token trn_000002; asked",
)
WHY = "the fetch dies with the caller who began it, and is paid for again"
CHECKS = (
    Check("leaving: the first of many", WHY, FIRST, Setting(), _first_leaves),
    Check("leaving: the only one", WHY, ONLY, Setting(), _only_leaves),
)
