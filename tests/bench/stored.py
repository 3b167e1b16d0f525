"""What a stored training takes: in L1 by the gateway's own account, in Redis by that of Redis."""

from __future__ import annotations

import contextlib
import statistics
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.bench import stands
from tests.bench.stands import IDS, TOKEN, Stand
from tests.support.servers import HOST, RedisServer

# These are read before the measurement, so that what is taken once is not counted for trainings.
_FIRST = 100


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes for each training: the body as the API sends it, the entry in L1, and all of Redis."""

    body: float
    l1: float
    redis: float

    @property
    def l1_beside_body(self) -> float:
        """What L1 takes beside the body."""
        return self.l1 - self.body

    @property
    def redis_beside_body(self) -> float:
        """What Redis takes beside the body."""
        return self.redis - self.body


def measure(folder: Path, python: str) -> Stored:
    """By reading trainings of the simulated API through one gateway with a Redis of its own."""
    with contextlib.ExitStack() as stack:
        upstream, _ = stack.enter_context(stands.simulator(folder))
        redis = stack.enter_context(RedisServer(folder))
        stand = stack.enter_context(
            stands.gateway(folder, upstream, redis, "stored", python=python)
        )
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "identity"}
        client = stack.enter_context(httpx.Client(headers=headers, trust_env=False, timeout=30))
        _read(client, stand, 1, _FIRST)
        before = _used(redis)
        bodies = _read(client, stand, _FIRST + 1, IDS)
        taken = _used(redis) - before
        told = client.get(f"http://{HOST}:{stand.admin}/metrics").text
        l1 = _figure(told, "gateway_cache_bytes") / _figure(told, "gateway_cache_entries")
    return Stored(statistics.mean(bodies), l1, taken / len(bodies))


def _read(client: httpx.Client, stand: Stand, first: int, last: int) -> list[int]:
    base = f"http://{HOST}:{stand.port}/training/trn_"
    answers = [client.get(f"{base}{number:06d}") for number in range(first, last + 1)]
    assert {answer.status_code for answer in answers} == {200}
    return [len(answer.content) for answer in answers]


def _used(redis: RedisServer) -> int:
    with contextlib.closing(redis.client()) as client:
        return int(client.info("memory")["used_memory"])


def _figure(metrics: str, name: str) -> float:
    """The value of the metric for L1."""
    (line,) = [each for each in metrics.splitlines() if each.startswith(f'{name}{{tier="l1"}}')]
    return float(line.rpartition(" ")[2])
