"""What forty warm hits at once cost a caller, by HTTP client and by how it is used.

`python -m tests.bench.clients` starts a simulated API and a gateway, and prints a table for
docs/calling.md. CPU is that of the caller's process, so that other work on the machine counts
little; `whole` is the time until all forty have their responses, and counts it.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import httpx

from tests.system.commands import CALLER, Gateway, address, simulator

ROUNDS = 15
PATHS = [f"/training/trn_{number:06d}" for number in range(1, 41)]
Forty = Callable[[], Awaitable[list[int]]]


async def _by_httpx(client: httpx.AsyncClient) -> list[int]:
    answers = await asyncio.gather(*(client.get(path, headers=CALLER) for path in PATHS))
    return [answer.status_code for answer in answers]


async def _by_aiohttp(session: aiohttp.ClientSession) -> list[int]:
    async def get(path: str) -> int:
        async with session.get(path, headers=CALLER) as answer:
            await answer.read()
            return answer.status

    return await asyncio.gather(*map(get, PATHS))


async def _by_new_httpx(url: str) -> list[int]:
    async def get(path: str) -> int:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            return (await client.get(path, headers=CALLER)).status_code

    return await asyncio.gather(*map(get, PATHS))


async def _measure(name: str, forty: Forty) -> None:
    cpu, whole = [], []
    for _ in range(ROUNDS):
        began, busy = time.perf_counter(), time.process_time()
        statuses = await forty()
        cpu.append((time.process_time() - busy) * 1000)
        whole.append((time.perf_counter() - began) * 1000)
        assert set(statuses) == {200}, statuses
    middle, least = statistics.median(cpu), min(whole)
    sys.stdout.write(f"| {name} | {middle:.0f} ms | {least:.0f} to {max(whole):.0f} ms |\n")


async def _measure_all(url: str) -> None:
    sys.stdout.write("| client | CPU, median | whole |\n| --- | --- | --- |\n")
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client,
        aiohttp.ClientSession(url) as session,
    ):
        await _by_aiohttp(session)
        await _measure("aiohttp, one session", lambda: _by_aiohttp(session))
        await _measure("httpx, one client", lambda: _by_httpx(client))
        await _measure("httpx, a new client for each request", lambda: _by_new_httpx(url))


def _own_share(admin: str) -> float:
    """Milliseconds that forty hits take inside the gateway, by its own histogram."""
    text = httpx.get(f"{admin}/metrics", trust_env=False, timeout=30).text
    figures = {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in text.splitlines())
        if name.startswith("gateway_request_duration_seconds") and 'outcome="fresh"' in name
    }
    total, count = (
        figures[f'gateway_request_duration_seconds_{part}{{outcome="fresh"}}']
        for part in ("sum", "count")
    )
    return 40 * 1000 * total / count


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name, simulator(Path(name), "--limit", "0") as upstream:
        unlimited = {
            "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
            "GATEWAY_FRESHNESS__LIFETIME": "1h",
        }
        gateway = Gateway(Path(name), address(upstream), **unlimited)
        with gateway.process:
            asyncio.run(_measure_all(gateway.data))
            share = _own_share(gateway.admin)
    sys.stdout.write(f"\nInside the gateway, forty hits took {share:.1f} ms.\n")


if __name__ == "__main__":
    main()
