"""Several processes on one port: the system spreads the callers, each process tells its own."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from tests.support.servers import free_port, wait_until
from tests.system.commands import CALLER, Gateway, address, get, simulator

_REQUESTS = re.compile(r"^gateway_requests_total\{[^}]*\} (\S+)$", re.MULTILINE)


def answered(house: Gateway) -> float:
    """How many requests that process has answered."""
    return sum(map(float, _REQUESTS.findall(get(f"{house.admin}/metrics").text)))


def ask(house: Gateway) -> int:
    """A caller with a connection of its own; the status."""
    url = f"{house.data}/training/trn_000001"
    return httpx.get(url, headers=CALLER, trust_env=False, timeout=20).status_code


def test_two_processes_share_a_port(tmp_path: Path) -> None:
    """Both answer, each with its own admin port; when one ends, the other has all callers."""
    port, reuse = free_port(), {"GATEWAY_SERVER__REUSE_PORT": "true"}
    with simulator(tmp_path, "--trainings", "5") as upstream:
        one, two = (Gateway(tmp_path, address(upstream), port, **reuse) for _ in range(2))
        with one.process, two.process:
            asked = 0

            def both_were_asked() -> bool:
                nonlocal asked
                asked += 1
                assert ask(one) == 200
                return min(answered(one), answered(two)) > 0

            wait_until(both_were_asked, 60, "both processes have answered")

            assert answered(one) + answered(two) == asked

            assert one.process.stop() == 0
            before = answered(two)
            assert [ask(two) for _ in range(10)] == [200] * 10
            assert answered(two) == before + 10
