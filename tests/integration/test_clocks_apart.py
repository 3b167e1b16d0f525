"""Replicas on machines whose clocks are minutes apart: they behave as if they were right."""

from __future__ import annotations

import asyncio

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.replicas import replicas
from tests.integration.rounds import edit_and_invalidate

ONE = "trn_000001"
APART = (0.0, 300.0, -300.0)


async def test_orders_hold_where_clocks_are_minutes_apart(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """The very next answer of every replica is the new version."""
    await edit_and_invalidate(upstream, control, redis_url, count=3, rounds=20, skews=APART)


async def test_what_one_fetched_is_as_old_for_the_others(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """Fresh, then stale, in all of them alike, whoever fetched."""
    windows = {"freshness__lifetime": "2s", "freshness__stale_while_revalidate": "60s"}
    async with replicas(upstream.base_url, [redis_url] * 3, APART, **windows) as all_planes:
        for number, fetcher in enumerate(all_planes, start=1):
            training_id = f"trn_{number:06d}"
            first = await fetcher.get(training_id)
            assert "fwd=uri-miss" in first.headers["cache-status"]
            others = [planes for planes in all_planes if planes is not fetcher]
            for planes in others:
                hit = await planes.get(training_id)
                assert "hit; ttl=" in hit.headers["cache-status"]
                assert "detail=l2" in hit.headers["cache-status"]
                assert int(hit.headers["age"]) <= 2
            await asyncio.sleep(2.1)
            stale = await others[0].get(training_id)
            assert "detail=stale-refreshing" in stale.headers["cache-status"]
            assert 2 <= int(stale.headers["age"]) <= 60


async def test_the_budget_is_one_where_clocks_are_minutes_apart(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """An unknown past starts paced: of twenty a minute two go at once, whoever asks."""
    limit = {"upstream__rate_limit": "20/minute"}
    async with replicas(upstream.base_url, [redis_url] * 3, APART, **limit) as all_planes:
        answers = await asyncio.gather(
            *(all_planes[n % 3].get(f"trn_{n:06d}") for n in range(1, 13))
        )

    went = [answer for answer in answers if answer.status_code == 200]
    assert 2 <= len(went) <= 4
    assert (await control.stats()).requests == len(went)
