"""The replica that leads the sweep is killed in the middle of it; another goes on from there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.servers import RedisServer, wait_until
from tests.system.commands import Gateway, address, get, simulator

# Forty pages, a second apart: a new leader goes on in the middle.
SETTINGS = {
    "GATEWAY_ACCESS__MODE": "open",
    "GATEWAY_UPSTREAM__TOKEN": "demo-token",
    "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    "GATEWAY_SWEEP__INTERVAL": "40s",
    "GATEWAY_SWEEP__WARM": "off",
    "GATEWAY_REDIS__TIMEOUT": "5s",
}
WITHIN = 10.0


@pytest.fixture
def replicas(tmp_path: Path, own_redis: RedisServer) -> Iterator[list[Gateway]]:
    """Two processes on one Redis, in front of a simulator with 4,000 trainings."""
    with ExitStack() as stack:
        process = stack.enter_context(
            simulator(tmp_path, "--trainings", "4000", "--limit", "1000000")
        )
        settings = {**SETTINGS, "GATEWAY_REDIS__URL": own_redis.url}
        found = [Gateway(tmp_path, address(process), **settings) for _ in range(2)]
        for each in found:
            stack.enter_context(each.process)
        yield found


def state(house: Gateway) -> dict[str, object]:
    """What /status says of the sweep."""
    words = get(f"{house.admin}/status").json()["freshness"]["tenants"]
    return dict(words.get("default", {}))


def row(house: Gateway) -> int:
    """How far the sweep is; somebody reads meanwhile."""
    get(f"{house.data}/training/trn_000001")
    found = state(house).get("row", 0)
    assert isinstance(found, int)
    return found


def is_in_the_third(house: Gateway) -> bool:
    """Whether it sees the sweep well after its beginning; the first two hurry."""
    return row(house) >= 300 and state(house)["sweeps"] == 2


def test_the_leader_is_killed_in_mid_sweep(replicas: list[Gateway]) -> None:
    """The other leads within ten seconds, and begins neither anew nor behind."""
    wait_until(lambda: all(map(is_in_the_third, replicas)), 90, "a third sweep is under way")
    leader = next(each for each in replicas if state(each)["leads"])
    (other,) = (each for each in replicas if each is not leader)
    before = row(other)
    leader.process.kill()
    killed = time.monotonic()

    wait_until(lambda: row(other) > before, 60, "another goes on")
    took = time.monotonic() - killed

    assert row(other) <= before + 1_000
    assert state(other)["leads"]
    assert state(other)["sweeps"] == 2
    assert took <= WITHIN, f"it took {took:.1f} s"
