"""A Redis that hangs and comes back while much is stale: a gateway as a process under hits.

The simulator holds all fetches of what is stored until Redis is back, so that nothing is
refreshed before; then it answers at once.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from tests.bench.load import CONNECTIONS
from tests.bench.stands import CONFIGS
from tests.servers import RedisServer, wait_until
from tests.system.commands import CALLER, TOKEN, Gateway, address, simulator

BOUND = 4
# The priority (nice) that leaves a process a tenth of a core beside a usual one.
_A_TENTH = 10
# Seconds until what was just stored is as it stays.
_SETTLE = 3.0
_SETTINGS = {
    "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    "GATEWAY_UPSTREAM__MAX_BACKGROUND": str(BOUND),
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


def storm(made: Stand, control: Stand, quiet: int, hang: int, after: int) -> list[float]:
    """Requests of each second after the return of Redis, as parts of those of a quiet second. Both
    are taken as parts of what `control` answers, on the same cores and to which nothing happens:
    what a second of this machine is worth differs by half."""
    made.client.post(f"{made.house.admin}/purge", json={}).raise_for_status()
    with _hits(made, seconds=600):
        filled = made.figure("gateway_upstream_requests_total") + len(made.ids)
        wait_until(
            lambda: made.figure("gateway_upstream_requests_total") >= filled, 240, "all is stored"
        )
        time.sleep(_SETTLE)
        before = median(_parts(made, control, quiet))
        with made.hung():
            time.sleep(hang)
        return [part / before for part in _parts(made, control, after)]


@contextmanager
def calm_beside(folder: Path, redis: RedisServer, made: Stand) -> Iterator[Stand]:
    """Another gateway under the same hits; both on one core, and all the rest on the other one. It
    takes a tenth of that core, which is enough to tell what a second of the machine is worth."""
    with stand(folder, redis, len(made.ids), "1h") as control:
        first, *others = sorted(os.sched_getaffinity(0))
        for each in (made, control):
            _keep_on(each.house.process.pid, {first})
        os.sched_setaffinity(0, set(others) or {first})
        os.setpriority(os.PRIO_PROCESS, control.house.process.pid, _A_TENTH)
        try:
            with _hits(control, seconds=3_600):
                yield control
        finally:
            os.sched_setaffinity(0, {first, *others})


def _keep_on(pid: int, cores: set[int]) -> None:
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), cores)


def _parts(made: Stand, control: Stand, seconds: int) -> list[float]:
    """Requests of each second, as parts of those of the other gateway."""
    parts = []
    before = _counts(made, control)
    for _ in range(seconds):
        time.sleep(1.0)
        now = _counts(made, control)
        (mine, mine_at), (its, its_at) = (
            (count - count_before, at - at_before)
            for (count, at), (count_before, at_before) in zip(now, before, strict=True)
        )
        parts.append((mine / mine_at) / (its / its_at))
        before = now
    return parts


def _counts(*stands: Stand) -> list[tuple[float, float]]:
    return [(each.figure("gateway_requests_total"), time.monotonic()) for each in stands]


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
    try:
        yield
    finally:
        load.terminate()
        load.wait(10)
