"""A Redis that hangs and comes back while much is stale: a gateway as a process under hits.

The simulator holds all fetches of what is stored until Redis is back, so that nothing is
refreshed before; then it answers at once.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from tests.bench.load import CONNECTIONS
from tests.bench.stands import CONFIGS
from tests.support.servers import RedisServer, wait_until
from tests.system.commands import CALLER, TOKEN, Gateway, address, simulator

BOUND = 4  # of one partition: half of all places
# A priority (nice) before all others'.
_FIRST = -15
# Seconds until what was just stored is as it stays.
_SETTLE = 3.0
_SETTINGS = {
    "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    "GATEWAY_UPSTREAM__MAX_BACKGROUND": str(2 * BOUND),
    "GATEWAY_UPSTREAM__TIMEOUT": "60s",
    "GATEWAY_SWEEP__ENABLED": "false",
}


@dataclass(frozen=True, slots=True)
class Stand:
    """A gateway on a Redis, the simulator behind it, and the ids that it holds."""

    redis: RedisServer
    upstream: str
    house: Gateway
    client: httpx.Client
    ids: Sequence[str]

    def statuses(self, ids: Sequence[str]) -> list[tuple[int, str]]:
        """Status and the last word of Cache-Status, of one read of each."""
        answers = [self.client.get(f"{self.house.data}/training/{each}") for each in ids]
        return [
            (each.status_code, each.headers.get("cache-status", "").rpartition("=")[2])
            for each in answers
        ]

    def hold(self) -> None:
        """Let no fetch of what is stored be answered."""
        self._fault("POST", {"mode": "held", "ids": list(self.ids)})

    def release(self) -> None:
        """Answer what is held, and what comes from now on."""
        self._fault("DELETE", None)

    def _fault(self, method: str, order: dict[str, object] | None) -> None:
        self.client.request(method, f"{self.upstream}/_control/fault", json=order)

    def most_in_flight(self) -> int:
        """The most calls that were with the upstream at once, since this was asked last."""
        most = self.client.get(f"{self.upstream}/_control/stats").json()["in_flight_max"]
        self.client.post(f"{self.upstream}/_control/reset-stats").raise_for_status()
        return int(most)

    def figure(self, name: str) -> float:
        """The sum of a metric's samples."""
        lines = self.client.get(f"{self.house.admin}/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def sees_redis(self) -> bool:
        """Whether it counts as there."""
        return self.figure("gateway_redis_up") == 1.0

    def times_away(self) -> int:
        """How often Redis was called away so far."""
        return self.house.process.output.count('"redis.away"')

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Redis hangs inside, and fetches are held."""
        self.hold()
        self.redis.pause()
        try:
            yield
        finally:
            self.release()
            self.redis.resume()


@contextmanager
def stand(folder: Path, redis: RedisServer, count: int, lifetime: str) -> Iterator[Stand]:
    """It holds nothing yet."""
    settings = _SETTINGS | {
        "GATEWAY_REDIS__URL": redis.url,
        "GATEWAY_FRESHNESS__LIFETIME": lifetime,
    }
    ids = [f"trn_{number:06d}" for number in range(1, count + 1)]
    with (
        simulator(folder, "--limit", "0") as upstream,
        httpx.Client(headers=CALLER, trust_env=False, timeout=60) as client,
    ):
        house = Gateway(folder, address(upstream), **settings)
        with house.process:
            yield Stand(redis, address(upstream), house, client, ids)


@dataclass(frozen=True, slots=True)
class Storm:
    """The seconds before Redis hangs (`quiet`), and after its return (`after`): the requests of
    each, as parts of those of the median quiet second. `refreshes`: the most calls for stored
    trainings in one second after the return."""

    quiet: Sequence[float]
    after: Sequence[float]
    refreshes: float

    def __str__(self) -> str:
        after = " ".join(f"{part:.2f}" for part in self.after)
        return (
            f"{after}; quiet seconds {min(self.quiet):.2f} to {max(self.quiet):.2f};"
            f" at most {self.refreshes:.0f} refreshes a second"
        )


def storm(made: Stand, quiet: int, hang: int, after: int) -> Storm:
    """Let Redis hang and come back. The times are in seconds. A second is one in which the gateway
    was not kept from its core by others: what a second of the machine is worth differs by half."""
    made.client.post(f"{made.house.admin}/purge", json={}).raise_for_status()
    with _hits(made, seconds=600):
        filled = made.figure("gateway_upstream_requests_total") + len(made.ids)
        wait_until(
            lambda: made.figure("gateway_upstream_requests_total") >= filled, 240, "all is stored"
        )
        time.sleep(_SETTLE)
        before, _ = _seconds(made, quiet)
        with made.hung():
            time.sleep(hang)
        usual = median(before)
        rates, refreshes = _seconds(made, after)
        return Storm(
            [rate / usual for rate in before], [rate / usual for rate in rates], max(refreshes)
        )


@contextmanager
def a_core_of_its_own(made: Stand) -> Iterator[None]:
    """The gateway on one core, and all that this process starts on the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    for thread in os.listdir(f"/proc/{made.house.process.pid}/task"):
        os.sched_setaffinity(int(thread), {first})
    os.sched_setaffinity(0, set(others) or {first})
    try:
        yield
    finally:
        os.sched_setaffinity(0, {first, *others})


def _seconds(made: Stand, count: int) -> tuple[list[float], list[float]]:
    """Requests a second and refreshes a second, in each of so many."""
    rates, refreshes = [], []
    before = _looked(made)
    for _ in range(count):
        time.sleep(1.0)
        now = _looked(made)
        requests, refreshed, elapsed, waited = (
            new - old for new, old in zip(now, before, strict=True)
        )
        rates.append(requests / (elapsed - waited))
        refreshes.append(refreshed / elapsed)
        before = now
    return rates, refreshes


def _looked(made: Stand) -> tuple[float, float, float, float]:
    """So far: requests, refreshes, the time, and for how long the loop's thread had to wait for its
    core."""
    requests = made.figure("gateway_requests_total")
    refreshes = made.figure('gateway_upstream_requests_total{purpose="refresh"')
    _, waited, _ = Path(f"/proc/{made.house.process.pid}/schedstat").read_text().split()
    return requests, refreshes, time.monotonic(), int(waited) / 1e9


@contextmanager
def _hits(made: Stand, seconds: int) -> Iterator[None]:
    """As many requests as all connections can make inside, for so many seconds at most."""
    arguments = ("repeated", str(len(made.ids)), TOKEN)
    load = subprocess.Popen(
        [
            *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"),
            *("-s", str(CONFIGS / "hit.lua"), made.house.data, "--", *arguments),
        ],
        stdout=subprocess.DEVNULL,
    )
    with suppress(PermissionError):  # what shares its core with it does not slow it down
        os.setpriority(os.PRIO_PROCESS, load.pid, _FIRST)
    try:
        yield
    finally:
        load.terminate()
        load.wait(10)
