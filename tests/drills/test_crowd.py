"""A thousand callers for one cold training over three processes: one call upstream."""

from __future__ import annotations

from pathlib import Path

from tests.system.crowd import CALL, gather, gather_and_kill, three_gateways


async def test_one_call_serves_a_thousand(tmp_path: Path, redis_url: str) -> None:
    """And how much later than the call the last of them is answered, beside what hits cost."""
    with three_gateways(tmp_path, redis_url) as (upstream, gateways):
        crowd = await gather(upstream, gateways, 1_000)

    print(  # noqa: T201
        f"the last of 1,000: the call + {(crowd.slowest - CALL) * 1000:.0f} ms, "
        f"{crowd.beyond * 1000:.0f} ms beyond the two cores' {crowd.cost * 1000:.0f} ms of work; "
        f"of 1,000 hits: {crowd.hits * 1000:.0f} ms"
    )
    assert crowd.statuses == [{200}] * 3
    assert crowd.calls == 1


async def test_a_killed_leader_of_a_thousand(tmp_path: Path, redis_url: str) -> None:
    """Two calls at most, and who asked the other replicas is answered."""
    with three_gateways(tmp_path, redis_url) as (upstream, gateways):
        crowd = await gather_and_kill(upstream, gateways, 1_000)

    print(f"the last of 1,000: {crowd.slowest:.3f} s after the death")  # noqa: T201
    assert crowd.statuses == [{0}, {200}, {200}]
    assert crowd.calls <= 2
