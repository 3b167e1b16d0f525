"""A Redis that hangs and comes back while much is stale, and a gateway as a process.

The simulator holds all fetches of what is stored until Redis is back, so that nothing is
refreshed before; then it answers at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.servers import RedisServer
from tests.system.commands import CALLER, Gateway, address, simulator

BOUND = 4  # of one partition: half of all places
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
