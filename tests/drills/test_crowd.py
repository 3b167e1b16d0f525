"""A thousand callers for one cold training over three processes: one call upstream."""

from __future__ import annotations

from pathlib import Path

from tests.system.crowd import CALL, gather, three_gateways


async def test_one_call_serves_a_thousand(tmp_path: Path, redis_url: str) -> None:
    """And how much later than the call the last of them is answered."""
    with three_gateways(tmp_path, redis_url) as (upstream, gateways):
        crowd = await gather(upstream, gateways, 1_000, kill=False)

    print(f"slowest: the call + {crowd.slowest - CALL:.3f} s")  # noqa: T201
    assert {status for answers in crowd.answers for status, _ in answers} == {200}
    assert crowd.calls == 1


async def test_a_killed_leader_of_a_thousand(tmp_path: Path, redis_url: str) -> None:
    """Two calls at most, and who asked the other replicas is answered."""
    with three_gateways(tmp_path, redis_url) as (upstream, gateways):
        crowd = await gather(upstream, gateways, 1_000, kill=True)

    assert {status for answers in crowd.answers[1:] for status, _ in answers} == {200}
    assert crowd.calls <= 2
