"""Replicas that come and go, of this release and of the one before."""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.cheap_connection import Line, Reply
from tests.support.servers import ROOT
from tests.system.commands import Gateway

_CLOSING = "Host: a\r\nConnection: close\r\n\r\n"
_SCHEMA = re.compile(r'^((?:SCHEMA|_FORMAT)(?:: Final)? = (?:"g)?)(\d+)', re.MULTILINE)
_SCHEMAS = ("keys", "messages", "records")


def previous_release(folder: Path) -> dict[str, str]:
    """A copy of the package as it was a release ago: each format with a schema number has the
    number before; what a process needs in its environment to be of that release."""
    package = folder / "previous" / "gateway"
    shutil.copytree(ROOT / "gateway", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _SCHEMAS:
        path = package / "adapters" / "redis" / f"{name}.py"
        text = path.read_text()
        older, numbers = _SCHEMA.subn(lambda found: f"{found[1]}{int(found[2]) - 1}", text)
        assert numbers == 1, f"{name} has no schema number any more"
        path.write_text(older)
    return {"PYTHONPATH": str(package.parent)}


class Fleet:
    """The replicas behind a balancer, which asks each whether it is ready, ten times a second;
    whatever still runs at the end of the block is killed."""

    def __init__(self) -> None:
        self.ready: list[Gateway] = []
        self._all: list[Gateway] = []
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watch = asyncio.create_task(self._watch_all())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.cancel()
        for replica in self._all:
            if replica.process.running:
                replica.process.kill()

    async def add(self, replica: Gateway) -> None:
        """Start one more, and return once it is sent requests."""
        self._all.append(replica)
        await asyncio.to_thread(replica.process.start)
        async with asyncio.timeout(60):
            while replica not in self.ready:  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(0.01)

    async def retire(self, replica: Gateway) -> None:
        """Ask one to end, as an orchestrator does, and return once it has; code 0."""
        assert await asyncio.to_thread(replica.process.stop, 60) == 0
        self._all.remove(replica)

    async def _watch_all(self) -> None:
        while True:
            asked = list(self._all)
            told = await asyncio.gather(*map(_is_ready, asked))
            self.ready = [each for each, ready in zip(asked, told, strict=True) if ready]
            await asyncio.sleep(0.1)


async def _is_ready(replica: Gateway) -> bool:
    with suppress(OSError, TimeoutError):
        return (await look(replica.data, "/readyz")).status == 200
    return False


async def look(url: str, path: str) -> Reply:
    """What stands there, at little cost for who is also busy calling; raises OSError, and
    TimeoutError after two seconds."""
    async with asyncio.timeout(2):
        line = await Line.to(url)
        try:
            return await line.ask(f"GET {path} HTTP/1.1\r\n{_CLOSING}".encode())
        finally:
            line.close()
