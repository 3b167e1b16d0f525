"""Gateways that stand still again and again, as under a CPU quota, while callers read of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.rounds.replica_starts import warnings_of
from tests.support.bad_day import stops
from tests.support.cheap_connection import Line
from tests.system.commands import TOKEN, Gateway, address, simulator

_REPLICAS = 2
_CALLERS = 8
_IDS = [f"trn_{number:06d}" for number in range(1, 41)]
_FIELDS = f"Host: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
_SETTINGS = {
    "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    # Callers wait for fetches all the time, which need leases and the budget.
    "GATEWAY_FRESHNESS__LIFETIME": "300ms",
    "GATEWAY_FRESHNESS__STALE_WHILE_REVALIDATE": "0",
    "GATEWAY_L1__LIFETIME": "200ms",
}


@dataclass(slots=True)
class Stopped:
    """What callers got meanwhile, status 0 where they were cut off, and what the logs say."""

    statuses: Counter[int] = field(default_factory=Counter)
    away: list[str] = field(default_factory=list)
    late: int = 0

    async def read(self, replica: Gateway, seed: int) -> None:
        """Read one training after the other on one connection, until cancelled."""
        chance, line = random.Random(seed), await Line.to(replica.data)
        try:
            while True:
                path = f"/training/{chance.choice(_IDS)}"
                reply = await line.ask(f"GET {path} HTTP/1.1\r\n{_FIELDS}".encode())
                self.statuses[reply.status] += 1
                if reply.status == 0:
                    line = await Line.to(replica.data)
                await asyncio.sleep(0.01)
        finally:
            line.close()


async def stop_gateways(
    folder: Path, redis_url: str, *, length: float, count: int, over: float
) -> Stopped:
    """Stop two replicas so often for so many seconds, evenly over a time, under traffic."""
    with ExitStack() as running:
        upstream = address(running.enter_context(simulator(folder, "--limit", "0")))
        settings = {**_SETTINGS, "GATEWAY_REDIS__URL": redis_url}
        replicas = [Gateway(folder, upstream, **settings) for _ in range(_REPLICAS)]
        for each in replicas:
            running.enter_context(each.process)
        seen = Stopped()
        readers = [
            asyncio.create_task(seen.read(replica, seed))
            for replica in replicas
            for seed in range(_CALLERS)
        ]
        pids = [each.process.pid for each in replicas]
        with stops(*pids, length=length, count=count, over=over) as going:
            while not going.done:  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        for reader in readers:
            reader.cancel()
        ends = await asyncio.gather(*readers, return_exceptions=True)
        assert [end for end in ends if not isinstance(end, asyncio.CancelledError)] == []
    lines = [line for each in replicas for line in warnings_of(each)]
    seen.away = [line for line in lines if '"redis.away"' in line]
    seen.late = sum('"redis.failed"' in line for line in lines)
    return seen
