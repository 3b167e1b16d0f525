"""The figures of the running demo on one line: live on a terminal, now and then elsewhere."""

from __future__ import annotations

import asyncio
import shutil
from typing import TextIO

import httpx
import msgspec

LIVE_EVERY = 1.0
PLAIN_EVERY = 10.0
_PATIENCE = 5.0
_ERASE = "\r\x1b[2K"


class _Counts(msgspec.Struct, frozen=True):
    requests: int
    upstream_calls: int
    edits: int = msgspec.field(name="invalidations.updated_at")


class _Budget(msgspec.Struct, frozen=True):
    limit: int | None
    available: int | None


class Status(msgspec.Struct, frozen=True):
    """What is needed of the admin plane's `/status`."""

    hit_rate: float
    figures: _Counts
    budgets: dict[str, _Budget]


async def show(admin_url: str, out: TextIO, *, live: bool) -> None:
    """Write the line again and again until cancelled; `live` overwrites it in place."""
    every = LIVE_EVERY if live else PLAIN_EVERY
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE) as client:
            while True:
                await asyncio.sleep(every)
                _write(await _line(client, admin_url), out, live=live)
    finally:
        if live:
            out.write(_ERASE)
            out.flush()


def sentence(status: Status) -> str:
    """The figures since the start, and what is left of the budget now."""
    figures = status.figures
    budget = "".join(
        f"   {each.available} of {each.limit} calls free"
        for each in status.budgets.values()
        if each.limit is not None
    )
    return (
        f"requests {figures.requests}   hits {status.hit_rate:.0%}   "
        f"calls {figures.upstream_calls}   edits seen {figures.edits}{budget}"
    )


async def _line(client: httpx.AsyncClient, admin_url: str) -> str:
    try:
        answer = (await client.get(f"{admin_url}/status")).raise_for_status()
    except httpx.HTTPError as error:
        return f"no figures: {str(error) or type(error).__name__}"
    return sentence(msgspec.json.decode(answer.content, type=Status))


def _write(line: str, out: TextIO, *, live: bool) -> None:
    if live:
        width = shutil.get_terminal_size().columns - 1
        out.write(f"{_ERASE}{line[:width]}")
    else:
        out.write(f"{line}\n")
    out.flush()
