"""An upstream that hangs, fails or dribbles."""

from __future__ import annotations

import asyncio

from gateway.simulator.faults import FaultMode
from tests.torture.caller import Answer
from tests.torture.check import Check, Finding
from tests.torture.stand import Setting, Stand

ONE = "trn_000001"
CALLERS = 50
TIMEOUT = 6
AT_ONCE = 5.0
"""Seconds, on a busy machine; a caller that waits for the upstream waits for TIMEOUT at least."""


async def _cold(stand: Stand) -> list[Finding]:
    await stand.upstream.fault(FaultMode.HANG, ids=[ONE])
    crowd = await stand.crowd(ONE, CALLERS)
    calls = await stand.calls(ONE)
    slowest = max(answer.seconds for answer in crowd)
    told = sum(answer.status in {502, 503, 504} for answer in crowd)
    return [
        Finding(
            "hung, cold, 50 callers: all told, at most 2 calls",
            told == CALLERS and calls <= 2,
            f"{told} told, {calls} calls",
        ),
        Finding(f"  the slowest (a call may take {TIMEOUT} s)", None, f"{slowest:.1f} s"),
    ]


async def _stale(stand: Stand) -> list[Finding]:
    await _make_stale(stand)
    await stand.upstream.fault(FaultMode.HANG, ids=[ONE])
    await stand.upstream.reset_stats()
    crowd = await stand.crowd(ONE, CALLERS)
    calls = await stand.calls(ONE)
    served = _served_at_once(crowd)
    return [
        Finding(
            "hung, stale stored, 50 callers: all answered at once, one call",
            served == CALLERS and calls <= 1,
            f"{served} at once, {calls} calls",
        )
    ]


async def _failing(stand: Stand) -> list[Finding]:
    await stand.upstream.fault(FaultMode.STATUS_500, ids=[ONE], delay=0.5)
    crowd = await stand.crowd(ONE, CALLERS)
    calls = await stand.calls(ONE)
    slowest = max(answer.seconds for answer in crowd)
    return [
        Finding("500 after 0.5 s, cold, 50 callers: at most 2 calls", calls <= 2, f"{calls} calls"),
        Finding("  the slowest", None, f"{slowest:.1f} s"),
    ]


async def _dribbling(stand: Stand) -> list[Finding]:
    await stand.upstream.fault(FaultMode.DRIBBLE, ids=[ONE], delay=0.5)
    crowd = await stand.crowd(ONE, 11)
    calls = await stand.calls(ONE)
    told = sum(answer.is_whole for answer in crowd)
    return [
        Finding(
            "dribbles (a byte each 0.5 s), cold, 11 callers: all told within 15 s",
            told == len(crowd),
            f"{told} told, {calls} calls",
        )
    ]


async def _dribbling_refresh(stand: Stand) -> list[Finding]:
    await _make_stale(stand)
    await stand.upstream.fault(FaultMode.DRIBBLE, ids=[ONE], delay=0.5)
    first = asyncio.create_task(stand.get(ONE))
    await asyncio.sleep(0.5)
    crowd = await stand.crowd(ONE, 10)
    served = _served_at_once(crowd)
    await first
    return [
        Finding(
            "a refresh dribbles, stale stored: callers behind it are answered at once",
            served == len(crowd),
            f"{served} of {len(crowd)}",
        )
    ]


async def _make_stale(stand: Stand) -> None:
    await stand.get(ONE)
    await asyncio.sleep(stand.setting.lifetime + 0.5)


def _served_at_once(crowd: list[Answer]) -> int:
    return sum(answer.status == 200 and answer.seconds < AT_ONCE for answer in crowd)


HANG = "fault hang; order reset-stats ''"
FAIL = "fault status-500 '\"delay\": 0.5'"
DRIBBLE = "fault dribble '\"delay\": 0.5'"
STORE = "see alice-token trn_000001; sleep 2"
CROWD = f"time crowd alice-token $(times {CALLERS} trn_000001); asked"
FEW = "time PATIENCE=15 crowd alice-token $(times 11 trn_000001); asked  # …/28: not whole in 15 s"
BEHIND = (
    "(PATIENCE=15 see alice-token trn_000001 & sleep 0.5; "
    "time PATIENCE=15 crowd alice-token $(times 10 trn_000001); wait)"
)
WAITING = "callers wait one after another, or for as long as the upstream likes"
TOTAL = "the deadline is for each read: an upstream that sends a byte now and then never meets it"
COLD, STALE = Setting(timeout=TIMEOUT), Setting(timeout=TIMEOUT, lifetime=1)
CHECKS = (
    Check("hung: cold", WAITING, (HANG, CROWD), COLD, _cold),
    Check("hung: stale", WAITING, (STORE, HANG, CROWD), STALE, _stale),
    Check("failing: cold", WAITING, (FAIL, CROWD), COLD, _failing),
    Check("dribbling: cold", TOTAL, (DRIBBLE, FEW), COLD, _dribbling),
    Check("dribbling: refresh", TOTAL, (STORE, DRIBBLE, BEHIND), STALE, _dribbling_refresh),
)
