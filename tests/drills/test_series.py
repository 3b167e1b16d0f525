"""A hundred thousand ids and a hundred clients leave no trace in the series of a real gateway."""

from __future__ import annotations

from pathlib import Path

from tests.rounds.metric_series import hundred_clients, read_by_all, series_of
from tests.support.servers import RedisServer
from tests.system.commands import Gateway, address, simulator

ONLY_IF_CACHED = "Cache-Control: only-if-cached"
# These two have no value before the first response of the API and before the first complete sweep.
KNOWN_LATER = {
    "gateway_upstream_last_success_timestamp_seconds",
    "gateway_sweep_confirmed_seconds",
}


async def test_a_hundred_thousand_ids(tmp_path: Path, own_redis: RedisServer) -> None:
    """Nearly all looked up in both tiers, a thousand of them fetched as well."""
    settings = {f"GATEWAY_{name.upper()}": v for name, v in hundred_clients(tmp_path).items()}
    ids = [f"unheard-{number}" for number in range(100_000)]
    with simulator(tmp_path, "--trainings", "5", "--limit", "0") as upstream:
        house = Gateway(tmp_path, address(upstream), GATEWAY_REDIS__URL=own_redis.url, **settings)
        with house.process:
            before = await series_of(house.admin)
            await read_by_all(house.data, ids, ONLY_IF_CACHED)
            await read_by_all(house.data, ids[:1_000])
            after = await series_of(house.admin)

    assert len(after) <= 1_110
    assert set(after) - set(before) <= KNOWN_LATER
