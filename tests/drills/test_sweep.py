"""Stated freshness, kept for minutes: a thousand trainings, three replicas, sixty calls a minute.

They mostly wait. Figures are logged: they belong into a release's notes.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import statistics
import time
from collections.abc import Sequence

import pytest

from gateway.simulator import SimulatorClient, SimulatorConfig, running
from tests.integration.gateways import Planes, until
from tests.integration.sweeping import state, sweepers, sweeps_ended

_log = logging.getLogger(__name__)

BUDGET = {
    "upstream__rate_limit": "60/minute",
    "sweep__share": "0.7",
    "freshness__lifetime": "25s",
    "redis__timeout": "2s",
}
IDS = [f"trn_{number:06d}" for number in range(1, 1_001)]


async def is_swept(planes: Planes) -> bool:
    """Whether the whole list was gone through once; somebody reads meanwhile."""
    await planes.get(IDS[0])
    return await sweeps_ended(planes) > 1


async def is_stated(planes: Planes) -> bool:
    """Whether the sweep's own bound is promised; somebody reads meanwhile."""
    await planes.get(IDS[0])
    await asyncio.sleep(0.5)
    return (await state(planes))["sweep"] == "on"


async def lag_of(control: SimulatorClient, planes: Planes, training_id: str, mark: str) -> float:
    """Seconds from an edit until a read brings it, polled twice a second by a reader of its own."""
    began = time.monotonic()
    while (await planes.get(training_id)).json().get("content") != mark:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    return time.monotonic() - began


async def miss_of(planes: Planes, training_id: str) -> float:
    """Seconds that a caller waits for a training of which nothing is stored any more."""
    order = await planes.admin.post("/invalidate", json={"ids": [training_id]})
    assert order.status_code == 200, order.text
    began = time.monotonic()
    answer = await planes.get(training_id)
    assert (answer.status_code, answer.headers["cache-status"].count("fwd=")) == (200, 1)
    return time.monotonic() - began


async def edited(
    control: SimulatorClient, all_planes: Sequence[Planes], training_id: str, mark: str
) -> float:
    """The worst of all replicas."""
    await control.edit(training_id, mark)
    each = [lag_of(control, planes, training_id, mark) for planes in all_planes]
    return max(await asyncio.gather(*each))


async def test_no_answer_is_older_than_stated(redis_url: str) -> None:
    """Five minutes, an edit every ten seconds, of what is read and of what nobody ever read;
    nobody is refused, and misses go at once."""
    config = SimulatorConfig(trainings=1_000, limit=60, latency=0.05, jitter=0.05)
    chance = random.Random(7)
    misses: list[float] = []
    async with (
        running(config) as upstream,
        SimulatorClient(upstream.base_url) as control,
        sweepers(upstream.base_url, redis_url, 3, **BUDGET) as all_planes,
    ):
        for number, planes in zip(range(30), itertools.cycle(all_planes), strict=False):
            await planes.get(IDS[number])
            await asyncio.sleep(1.1)
        await until(lambda: is_swept(all_planes[0]), patience=240.0)
        for _ in range(65):  # what the beginning spent is no longer in the window
            await all_planes[0].get(IDS[0])
            await asyncio.sleep(1.0)
        await control.reset_stats()
        waiting = []
        for number in range(30):
            chosen = chance.choice(IDS[:30] if number % 2 else IDS[30:500])
            waiting.append(
                asyncio.create_task(edited(control, all_planes, chosen, f"edit {number}"))
            )
            began = time.monotonic()
            misses.append(await miss_of(all_planes[number % 3], IDS[500 + number]))
            await asyncio.sleep(10.0 - (time.monotonic() - began))
        lags = await asyncio.gather(*waiting)
        stats, words = await control.stats(), await state(all_planes[0])

    _log.warning(
        "edit to every replica: worst %.1f s, median %.1f s; misses: worst %.2f s, median %.2f s; "
        "stated %s s; calls %s; fullest window %s; 429s %s",
        max(lags),
        statistics.median(lags),
        max(misses),
        statistics.median(misses),
        words["bound_seconds"],
        stats.by_endpoint,
        stats.fullest_window,
        stats.rate_limited,
    )
    bound = words["bound_seconds"]
    assert isinstance(bound, float)
    assert (words["sweep"], stats.rate_limited) == ("on", 0)
    assert max(lags) <= bound <= 25.0
    assert max(misses) < 2.0


@pytest.mark.parametrize("size", [20_000])
async def test_the_bound_stated_at_the_start_is_kept(redis_url: str, size: int) -> None:
    """Twenty thousand trainings at a share of 0.8 of a hundred calls a minute, a tenth of the
    time: two whole sweeps after those that prove it."""
    config = SimulatorConfig(trainings=size, limit=100, window=6.0)
    settings = {
        "upstream__rate_limit": "100/6s",
        "sweep__share": "0.8",
        "freshness__lifetime": "20s",
        "sweep__interval": "1s",
        "redis__timeout": "2s",
        "upstream__timeout": "5s",
    }
    ages: list[float] = []
    async with (
        running(config) as upstream,
        SimulatorClient(upstream.base_url) as control,
        sweepers(upstream.base_url, redis_url, 2, **settings) as all_planes,
    ):

        async def ended(count: int) -> bool:
            await all_planes[1].get(IDS[0])
            await asyncio.sleep(0.5)
            ages.append(await all_planes[1].metric("gateway_sweep_confirmed_seconds"))
            return await sweeps_ended(all_planes[1]) >= count

        await until(lambda: is_stated(all_planes[1]), patience=240.0)
        stated, begun = (
            (await state(all_planes[1]))["bound_seconds"],
            await sweeps_ended(all_planes[1]),
        )
        ages.clear()
        await until(lambda: ended(begun + 3), patience=240.0)
        stats = await control.stats()

    assert isinstance(stated, float)
    _log.warning(
        "%d trainings: stated %.1f s, oldest confirmation %.1f s at worst; 429s %d; calls %s",
        size,
        stated,
        max(ages),
        stats.rate_limited,
        stats.by_endpoint,
    )
    assert max(ages) <= stated
    assert stats.rate_limited == 0
