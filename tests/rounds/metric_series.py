"""A hundred clients of a gateway, and how many series it has after them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.integration.client_files import ClientsFile
from tests.support.raw_http import calling

CLIENTS = 100
CONNECTIONS = 4
AT_ONCE = 25


def hundred_clients(folder: Path, token: str = "demo-token") -> Mapping[str, str]:
    """The settings of a gateway that knows them, all of one tenant."""
    keys = {f"client-{number}": ("acme", [_key(number)]) for number in range(CLIENTS)}
    file = ClientsFile(folder / "clients.toml", {"acme": token}, keys)
    file.budgets["acme"] = "10000/minute"
    file.write()
    return file.settings


async def read_by_all(data: str, ids: Sequence[str], field: str = "") -> None:
    """Each id is asked for by one of them, and each of them asks for something; as fast as it goes.

    `field` is a line of each request's head.
    """
    asked = [ids[number % len(ids)] for number in range(max(len(ids), CLIENTS))]
    heads = [_head(each, number % CLIENTS, field) for number, each in enumerate(asked)]
    await asyncio.gather(*(_read(data, heads[start::CONNECTIONS]) for start in range(CONNECTIONS)))


async def series_of(admin: str) -> list[str]:
    """Each sample line's name and labels, as a scrape shows them."""
    async with httpx.AsyncClient(base_url=admin, trust_env=False, timeout=60) as client:
        text = (await client.get("/metrics")).text
    return [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]


async def _read(data: str, heads: list[bytes]) -> None:
    """On one connection, so many at once as may wait there."""
    async with calling(data) as caller:
        for start in range(0, len(heads), AT_ONCE):
            sent = heads[start : start + AT_ONCE]
            await caller.send(b"".join(sent))
            for _ in sent:
                await caller.told()


def _head(training_id: str, client: int, field: str) -> bytes:
    lines = [f"GET /training/{training_id} HTTP/1.1", "Host: a", field, _authorization(client)]
    return "\r\n".join([*filter(None, lines), "", ""]).encode()


def _authorization(client: int) -> str:
    return f"Authorization: Bearer {_key(client)}"


def _key(number: int) -> str:
    return f"gw_{number:040}"
