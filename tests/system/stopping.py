"""Two gateways as processes, of which one is stopped while an order is given, and goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from gateway.simulator import SimulatorClient
from tests.integration.replicas import number_of
from tests.system.commands import CALLER, Gateway, address, simulator

ONE = "trn_000001"
# Neither freshness nor `l1.lifetime` would have the stopped one ask anybody.
SETTINGS = {
    "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    "GATEWAY_FRESHNESS__LIFETIME": "10m",
    "GATEWAY_L1__LIFETIME": "1m",
    "GATEWAY_REDIS__TIMEOUT": "1s",
    "GATEWAY_LOG__LEVEL": "warning",
}
# Longer than five heartbeats.
STOPPED = 6.5
ASKED = 40


async def stop_and_go_on(tmp_path: Path, redis_url: str, rounds: int) -> list[str]:
    """What was told and answered that may not be, over so many rounds."""
    settings = {**SETTINGS, "GATEWAY_REDIS__URL": redis_url}
    with simulator(tmp_path, "--limit", "0") as process:
        upstream = address(process)
        one, other = (Gateway(tmp_path, upstream, **settings) for _ in "ab")
        with one.process, other.process:
            return await _rounds(upstream, one, other, rounds)


async def _rounds(upstream: str, one: Gateway, other: Gateway, rounds: int) -> list[str]:
    wrong: list[str] = []
    async with (
        SimulatorClient(upstream) as control,
        httpx.AsyncClient(headers=CALLER, trust_env=False, timeout=60) as client,
    ):
        for number in range(1, rounds + 1):
            wrong += await _round(control, client, one, other, number)
    return wrong


async def _round(
    control: SimulatorClient, client: httpx.AsyncClient, one: Gateway, other: Gateway, number: int
) -> list[str]:
    url, wrong = f"{other.data}/training/{ONE}", []
    await asyncio.gather(*(client.get(url) for _ in range(ASKED)))
    other.process.pause()
    try:
        await asyncio.sleep(STOPPED)
        await control.edit(ONE, f"{number}")
        told = await client.post(f"{one.admin}/invalidate", json={"ids": [ONE]})
        if told.status_code != 202 or told.json()["replicas"] != {"known": 2, "confirmed": 1}:
            wrong.append(told.text)
        asked = [asyncio.create_task(client.get(url)) for _ in range(ASKED)]
        await asyncio.sleep(0.2)
    finally:
        other.process.resume()
    answers = await asyncio.gather(*asked)
    wrong += [each.headers["cache-status"] for each in answers if number_of(each) != number]
    return wrong
