"""A hundred clients of a gateway, and how many series it has after them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.integration.client_files import ClientsFile, bearer

CLIENTS = 100


def hundred_clients(folder: Path, token: str = "demo-token") -> Mapping[str, str]:
    """The settings of a gateway that knows them, all of one tenant."""
    keys = {f"client-{number}": ("acme", [_key(number)]) for number in range(CLIENTS)}
    file = ClientsFile(folder / "clients.toml", {"acme": token}, keys)
    file.budgets["acme"] = "10000/minute"
    file.write()
    return file.settings


async def read_by_all(
    data: str, ids: Sequence[str], fields: Mapping[str, str] | None = None
) -> None:
    """Each id is asked for by one of them, and each of them asks for something."""
    limits = httpx.Limits(max_connections=8)
    async with httpx.AsyncClient(
        base_url=data, trust_env=False, timeout=60, limits=limits
    ) as client:
        asked = [ids[number % len(ids)] for number in range(max(len(ids), CLIENTS))]
        for start in range(0, len(asked), CLIENTS):
            await asyncio.gather(
                *(
                    client.get(
                        f"/training/{each}", headers={**bearer(_key(number)), **(fields or {})}
                    )
                    for number, each in enumerate(asked[start : start + CLIENTS])
                )
            )


async def series_of(admin: str) -> list[str]:
    """Each sample line's name and labels, as a scrape shows them."""
    async with httpx.AsyncClient(base_url=admin, trust_env=False, timeout=60) as client:
        text = (await client.get("/metrics")).text
    return [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]


def _key(number: int) -> str:
    return f"gw_{number:040}"
