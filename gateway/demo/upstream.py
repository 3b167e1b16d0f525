"""The simulator as a process of its own, which ends with the demo however that ends."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_START_WITHIN = 20.0
_FAREWELL = 5.0


class UpstreamEnded(Exception):
    """The simulator is not there, or no longer."""


class Upstream:
    """A running simulator at `url`."""

    def __init__(self, process: Process, url: str) -> None:
        self._process = process
        self.url = url

    async def watch(self) -> None:
        """Wait for its end, which is always too early, and raise UpstreamEnded."""
        exit_code = await self._process.wait()
        raise UpstreamEnded(f"the simulator ended with {exit_code}")


@asynccontextmanager
async def simulator(port: int) -> AsyncIterator[Upstream]:
    """A simulator while the block runs; raises UpstreamEnded when it cannot start."""
    # Standard input is its lifeline: the pipe closes even if this process is killed. Its own
    # session keeps a terminal's Ctrl-C for us, so that the gateway drains before it ends.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "simulate"),
        *("--port", str(port), "--until-stdin-closes"),
        stdin=PIPE,
        stdout=PIPE,
        start_new_session=True,
    )
    try:
        yield Upstream(process, await _url_of(process))
    finally:
        await _end_process(process)


async def _url_of(process: Process) -> str:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _START_WITHIN)
    except TimeoutError:
        raise UpstreamEnded("the simulator did not start in time") from None
    if not line:
        raise UpstreamEnded("the simulator did not start")
    return line.decode().split()[-1]


async def _end_process(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _FAREWELL)
    except TimeoutError:
        process.kill()
        await process.wait()
