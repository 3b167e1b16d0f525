"""Two gateways as processes, of which one is stopped while an order is given, and goes on.

Redis cuts their ears meanwhile, as it does where too much waits for one: no notice lies ready for
the one that was stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import httpx

from gateway.simulator import SimulatorClient
from tests.integration.replicas import number_of
from tests.support.redis_cluster import client_of
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
KEPT = httpx.Limits(max_keepalive_connections=ASKED, keepalive_expiry=60)


async def stop_and_go_on(tmp_path: Path, redis_url: str, rounds: int) -> list[str]:
    """What was told and answered that may not be, over so many rounds."""
    settings = {**SETTINGS, "GATEWAY_REDIS__URL": redis_url}
    with simulator(tmp_path, "--limit", "0") as process:
        upstream = address(process)
        one, other = (Gateway(tmp_path, upstream, **settings) for _ in "ab")
        with one.process, other.process, client_of(redis_url) as redis:
            deafen = partial(redis.client_kill_filter, _type="pubsub")
            return await _rounds(upstream, one, other, rounds, deafen)


async def _rounds(
    upstream: str, one: Gateway, other: Gateway, rounds: int, deafen: Callable[[], object]
) -> list[str]:
    wrong: list[str] = []
    async with (
        SimulatorClient(upstream) as control,
        httpx.AsyncClient(headers=CALLER, trust_env=False, timeout=60, limits=KEPT) as client,
    ):
        for number in range(1, rounds + 1):
            edit = partial(control.edit, ONE, f"{number}")
            told, answers = await _round(client, one, other, edit, deafen)
            if told.status_code != 202 or told.json()["replicas"] != {"known": 2, "confirmed": 1}:
                wrong.append(told.text)
            wrong += [each.headers["cache-status"] for each in answers if number_of(each) != number]
    return wrong


async def _round(
    client: httpx.AsyncClient,
    one: Gateway,
    other: Gateway,
    edit: Callable[[], Awaitable[object]],
    deafen: Callable[[], object],
) -> tuple[httpx.Response, list[httpx.Response]]:
    """What was told of the order, and answered by the one that was stopped."""
    url = f"{other.data}/training/{ONE}"
    await asyncio.gather(*(client.get(url) for _ in range(ASKED)))
    other.process.pause()
    try:
        await asyncio.sleep(STOPPED)
        await edit()
        deafen()
        told = await client.post(f"{one.admin}/invalidate", json={"ids": [ONE]})
        asked = [asyncio.create_task(client.get(url)) for _ in range(ASKED)]
        await asyncio.sleep(0.2)
    finally:
        other.process.resume()
    return told, await asyncio.gather(*asked)
