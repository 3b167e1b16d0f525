"""The figures of the running demo on one line: live on a terminal, now and then elsewhere. What is
wrong stands before them.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TextIO

import httpx
import msgspec

_FIGURES_WITHIN = 5.0
_ERASE = "\r\x1b[2K"


class _Counts(msgspec.Struct, frozen=True):
    requests: int
    upstream_calls: int
    edits: int = msgspec.field(name="invalidations.updated_at")


class _Budget(msgspec.Struct, frozen=True):
    limit: int | None
    available: int | None


class _Finding(msgspec.Struct, frozen=True):
    level: str
    says: str


class Status(msgspec.Struct, frozen=True):
    """What is needed of the admin plane's `/status`."""

    findings: list[_Finding]
    hit_rate: float
    figures: _Counts
    budgets: dict[str, _Budget]


class PlainLines:
    """The figures as a line now and then, for a file or beside a log."""

    every = 10.0

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, text: str) -> None:
        """Write one more line."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def clear(self) -> None:
        """Leave what was written."""


class LiveLine:
    """The figures as one line of a terminal, overwritten in place; log lines go above it."""

    every = 1.0

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = ""

    def show(self, text: str) -> None:
        """Replace the line, cut to the terminal's width."""
        self._shown = text[: shutil.get_terminal_size().columns - 1]
        self._put("")

    def write(self, line: bytes) -> None:
        """Write a whole line of the log in its place, and the line itself below."""
        self._put(line.decode(errors="replace"))

    def clear(self) -> None:
        """Leave nothing of it."""
        self.show("")

    def _put(self, above: str) -> None:
        self._out.write(f"{_ERASE}{above}{self._shown}")
        self._out.flush()


async def show(admin_url: str, display: PlainLines | LiveLine) -> None:
    """Show the figures again and again until cancelled."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_FIGURES_WITHIN) as client:
            while True:
                await asyncio.sleep(display.every)
                display.show(await _line(client, admin_url))
    finally:
        display.clear()


def sentence(status: Status) -> str:
    """What is wrong, the figures since the start, and what is left of the budget now."""
    figures = status.figures
    wrong = "".join(f"{each.says}   " for each in status.findings[:1] if each.level != "good")
    budget = "".join(
        f"   {each.available} of {each.limit} calls free"
        for each in status.budgets.values()
        if each.limit is not None
    )
    return (
        f"{wrong}requests {figures.requests}   hits {status.hit_rate:.0%}   "
        f"calls {figures.upstream_calls}   edits seen {figures.edits}{budget}"
    )


async def _line(client: httpx.AsyncClient, admin_url: str) -> str:
    try:
        answer = (await client.get(f"{admin_url}/status")).raise_for_status()
    except httpx.HTTPError as error:
        return f"no figures: {str(error) or type(error).__name__}"
    return sentence(msgspec.json.decode(answer.content, type=Status))
