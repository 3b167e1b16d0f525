"""Two hundred callers for one cold training over three processes: one call upstream."""

from __future__ import annotations

from pathlib import Path

from tests.system.crowd import gather, gather_and_kill, three_gateways


async def test_one_call_serves_all(tmp_path: Path, redis_url: str) -> None:
    """Whichever replica they ask."""
    with three_gateways(tmp_path, redis_url) as (upstream, gateways):
        crowd = await gather(upstream, gateways, 200)

    assert crowd.statuses == [{200}] * 3
    assert crowd.calls == 1


async def test_a_killed_leader_costs_one_more_call(tmp_path: Path, redis_url: str) -> None:
    """Who asked the others is answered all the same."""
    with three_gateways(tmp_path, redis_url) as (upstream, gateways):
        crowd = await gather_and_kill(upstream, gateways, 200)

    assert crowd.statuses == [{0}, {200}, {200}]
    assert crowd.calls <= 2
