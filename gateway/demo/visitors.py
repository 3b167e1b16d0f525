"""Those who keep the demo busy: callers who ask for popular trainings, and an editor.

They leave most of the upstream's 100 calls a minute to the person who watches: whatever the rate
of requests, a popular training costs a call only as often as it grows stale.
"""

from __future__ import annotations

import asyncio
from random import Random

import httpx

from gateway.simulator import SimulatorClient

TOKEN = "demo-token"
# The first one is left to the person who tries the printed command: a miss, then a hit.
POPULAR = tuple(f"trn_{number:06d}" for number in range(2, 18))
_WEIGHTS = tuple(1.0 / rank for rank in range(1, len(POPULAR) + 1))
_SELDOM = range(100, 1001)
_SELDOM_SHARE = 0.03

_PAUSE = 0.3
_FIRST_SIGHT = 1.5
_EDIT_EVERY = 10.0
_ANSWER_WITHIN = 15.0


async def visit(gateway_url: str, random: Random) -> None:
    """Ask for trainings a few times a second, by Zipf's law, until cancelled."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        base_url=gateway_url, headers=headers, trust_env=False, timeout=_ANSWER_WITHIN
    ) as client:
        # One new training at a time: all at once would spend what a start may spend.
        known = 1.0
        while True:
            await asyncio.sleep(random.expovariate(1 / _PAUSE))
            known = min(known + _PAUSE / _FIRST_SIGHT, len(POPULAR))
            try:
                await client.get(f"/training/{_choose(random, int(known))}")
            except httpx.TransportError:
                continue


async def edit(simulator_url: str, random: Random) -> None:
    """Edit a popular training every few seconds, until cancelled."""
    async with SimulatorClient(simulator_url) as control:
        while True:
            await asyncio.sleep(_EDIT_EVERY)
            try:
                await control.edit(random.choice(POPULAR))
            except httpx.HTTPError:
                continue


def _choose(random: Random, known: int) -> str:
    if known == len(POPULAR) and random.random() < _SELDOM_SHARE:
        return f"trn_{random.choice(_SELDOM):06d}"
    return random.choices(POPULAR[:known], _WEIGHTS[:known])[0]
