"""The replica that leads a fetch is killed in the middle of it; callers of others are answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.servers import RedisServer, wait_until
from tests.system.commands import CALLER, Gateway, address, get, simulator

ID = "trn_000001"
EACH = 5


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    """The address of a simulator with ten trainings."""
    with simulator(tmp_path, "--trainings", "10") as process:
        yield address(process)


@pytest.fixture
def replicas(tmp_path: Path, upstream: str, own_redis: RedisServer) -> Iterator[list[Gateway]]:
    """Three processes on one Redis, patient on a busy machine."""
    settings = {
        "GATEWAY_REDIS__URL": own_redis.url,
        "GATEWAY_REDIS__TIMEOUT": "5s",
        "GATEWAY_UPSTREAM__TIMEOUT": "30s",
        # Of a limit, a part would be kept for the replica that is killed: more than a start has.
        "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    }
    with ExitStack() as stack:
        found = [Gateway(tmp_path, upstream, **settings) for _ in range(3)]
        for each in found:
            stack.enter_context(each.process)
        yield found


def tell(upstream: str, method: str, **words: object) -> None:
    """Set or clear the simulator's faults."""
    url = f"{upstream}/_control/fault"
    httpx.request(method, url, json=words or None, trust_env=False, timeout=5).raise_for_status()


def calls(upstream: str) -> int:
    """How often the simulator was asked for the training."""
    stats = httpx.get(f"{upstream}/_control/stats", trust_env=False, timeout=5).json()
    return int(stats["by_id"].get(ID, 0))


def gauge(house: Gateway, name: str) -> float:
    """The value of a gauge without labels."""
    text = get(f"{house.admin}/metrics").text
    match = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert match, name
    return float(match[1])


def ask(house: Gateway) -> httpx.Response:
    """A caller with patience."""
    url = f"{house.data}/training/{ID}"
    return httpx.get(url, headers=CALLER, trust_env=False, timeout=50)


def test_the_leader_is_killed_in_mid_fetch(upstream: str, replicas: list[Gateway]) -> None:
    """Two calls at most, and whoever asked another replica is answered by the second one."""
    tell(upstream, "POST", mode="held")
    with ThreadPoolExecutor(3 * EACH) as pool:
        asked: dict[Gateway, list[Future[httpx.Response]]] = {
            house: [pool.submit(ask, house) for _ in range(EACH)] for house in replicas
        }
        waiters = "gateway_collapsed_waiters"
        wait_until(
            lambda: sum(gauge(house, waiters) for house in replicas) == 3 * EACH - 1,
            20,
            "all callers wait for one",
        )
        (leader,) = (house for house in replicas if gauge(house, "gateway_upstream_inflight"))

        leader.process.kill()
        wait_until(lambda: calls(upstream) == 2, 20, "another replica leads")
        tell(upstream, "DELETE")

        answers = [
            one.result() for house in replicas if house is not leader for one in asked[house]
        ]
        lost = [one.exception() for one in asked[leader]]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert calls(upstream) == 2
    assert all(isinstance(error, httpx.TransportError) for error in lost)
