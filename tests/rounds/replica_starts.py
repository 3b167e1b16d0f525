"""Replicas that start together on one healthy Redis: what each does from its first second on."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from gateway.simulator import SimulatorClient
from tests.support.bad_day import busy_cores
from tests.system.commands import CALLER, Gateway, address, simulator

FRESH = 3
# Seconds that a start may take where others keep all cores busy.
_PATIENCE = 300.0
_SETTINGS = {
    "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    # Longer than any start takes: what is stored is fresh for the replica that starts last.
    "GATEWAY_FRESHNESS__LIFETIME": "10m",
}


@dataclass(frozen=True, slots=True)
class Round:
    """`calls` for one cold id of which three fresh replicas were asked at once; `tier`: where a
    fourth one then found it, by its Cache-Status; `away`: how often one of the four called Redis
    away; `late`: how often Redis had not answered in time, which may be so on busy cores."""

    calls: int
    tier: str
    away: int
    late: int

    @property
    def is_sound(self) -> bool:
        """Whether it is as README promises."""
        return (self.calls, self.tier, self.away) == (1, "l2", 0)


async def start_rounds(folder: Path, redis_url: str, rounds: int) -> list[Round]:
    """So many rounds of four starts, with all cores busy."""
    with simulator(folder, "--limit", "0") as process, busy_cores():
        upstream = address(process)
        async with SimulatorClient(upstream) as control:
            return [
                await _round(folder, upstream, redis_url, control, f"trn_{number:06d}")
                for number in range(1, rounds + 1)
            ]


async def _round(
    folder: Path, upstream: str, redis_url: str, control: SimulatorClient, training_id: str
) -> Round:
    settings = {**_SETTINGS, "GATEWAY_REDIS__URL": redis_url}
    *fresh, late = [Gateway(folder, upstream, **settings) for _ in range(FRESH + 1)]
    with ExitStack() as running:
        for each in (*fresh, late):
            each.process.patience = _PATIENCE
            running.callback(_end, each)
        await asyncio.gather(*(asyncio.to_thread(each.process.start) for each in fresh))
        answers = await asyncio.gather(*(_ask(each, training_id) for each in fresh))
        assert [answer.status_code for answer in answers] == [200] * FRESH
        calls = (await control.stats()).by_id[training_id]
        await asyncio.to_thread(late.process.start)
        first = (await _ask(late, training_id)).headers["cache-status"]
    lines = [line for each in (*fresh, late) for line in warnings_of(each)]
    told = [sum(f'"{event}"' in line for line in lines) for event in ("redis.away", "redis.failed")]
    return Round(calls, first.rpartition("detail=")[2], *told)


def _end(replica: Gateway) -> None:
    if replica.process.running:
        assert replica.process.stop() == 0


async def _ask(replica: Gateway, training_id: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30.0, verify=False) as client:
        return await client.get(f"{replica.data}/training/{training_id}", headers=CALLER)


def warnings_of(replica: Gateway) -> list[str]:
    """The lines of its log at level warning and above."""
    lines = [line for line in replica.process.output.splitlines() if line.startswith("{")]
    return [line for line in lines if json.loads(line)["level"] not in ("debug", "info")]
