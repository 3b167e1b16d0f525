"""What replicas ask of Redis: counted by Redis itself, while nobody asks and while many do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import stands
from tests.bench.cases import ask_all
from tests.bench.load import closed
from tests.bench.stands import Stand
from tests.support.servers import RedisServer

_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """Of Redis, a second: commands, bytes in and out, and the share of a core that they took."""

    commands: float
    bytes: float
    core: float

    def less(self, other: Asked) -> Asked:
        """What is beyond the other one."""
        theirs = asdict(other)
        return Asked(**{name: max(0.0, mine - theirs[name]) for name, mine in asdict(self).items()})


def count(folder: Path, python: str, replicas: int) -> tuple[Asked, Asked]:
    """Of so many replicas together: idle, and with IDS trainings read by each all the time."""
    with contextlib.ExitStack() as stack:
        upstream, _ = stack.enter_context(stands.simulator(folder))
        redis = stack.enter_context(RedisServer(folder))
        started = [
            stack.enter_context(
                stands.gateway(folder, upstream, redis, f"replica-{n}", python=python)
            )
            for n in range(replicas)
        ]
        for stand in started:
            ask_all(stand, folder)
        time.sleep(6)  # beyond l1.lifetime: what was warmed is confirmed, or no longer read
        idle = _during(redis, lambda: time.sleep(_SECONDS))
        return idle, _during(redis, lambda: _read_by_all(started))


def _read_by_all(started: list[Stand]) -> None:
    """In turn, a second each: every replica has read every training again before it is due."""
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        for stand in started:
            closed(stand, "repeated", 1)


def _during(redis: RedisServer, work: Callable[[], None]) -> Asked:
    began, before = time.monotonic(), _told(redis)
    work()
    seconds, after = time.monotonic() - began, _told(redis)
    return Asked(*((late - early) / seconds for early, late in zip(before, after, strict=True)))


def _told(redis: RedisServer) -> tuple[float, float, float]:
    with contextlib.closing(redis.client()) as client:
        info = client.info("all")
    moved = info["total_net_input_bytes"] + info["total_net_output_bytes"]
    spent = info["used_cpu_user"] + info["used_cpu_sys"]
    return info["total_commands_processed"], moved, spent
