"""Many bad callers at once against a real gateway, while good ones ask."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from tests.rounds.malformed_requests import malformed
from tests.support.raw_http import GOOD, Caller, asked, calling, is_well
from tests.system.commands import TOKEN, Gateway, address, simulator

BEARER = f"Host: a\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
TRAINING = b"GET /training/trn_000001 HTTP/1.1\r\n" + BEARER + b"\r\n"
# They stay for as long as the test lasts: what is asked is whether they are in anybody's way.
PATIENT = {
    "GATEWAY_LIMITS__HEAD_TIMEOUT": "10m",
    "GATEWAY_LIMITS__WRITE_TIMEOUT": "10m",
    "GATEWAY_LIMITS__IDLE_TIMEOUT": "10m",
    "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    "GATEWAY_ADMIN__TOKEN": TOKEN,
}
_logger = logging.getLogger(__name__)
_AT_ONCE = 50
_OTHER_FILES = 500


def open_files(connections: int) -> None:
    """Let this process have so many connections; raises ValueError where the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(soft, connections + _OTHER_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def memory_of(pid: int) -> int:
    """The bytes that a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def _all(work: Iterable[Callable[[], Awaitable[None]]], at_once: int = _AT_ONCE) -> None:
    """Do all of it, so many at once."""
    room = asyncio.Semaphore(at_once)

    async def one(each: Callable[[], Awaitable[None]]) -> None:
        async with room:
            await each()

    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(one(each))


async def refusals(url: str, count: int, seed: int) -> list[str]:
    """Send so many malformed requests, each on its own connection; what was not refused."""
    faults: list[str] = []

    async def send(raw: bytes) -> None:
        answers = await asked(url, raw)
        if any(not 400 <= answer.status < 500 for answer in answers):
            faults.append(f"{raw!r:.300}: {answers}")

    for start in range(0, count, 500):
        batch = list(malformed(count, seed))[start : start + 500]
        await _all((lambda raw=raw: send(raw)) for raw in batch)  # type: ignore[misc]
        _logger.info("%d of %d sent, %d not refused", start + len(batch), count, len(faults))
        if not await is_well(url):
            faults.append(f"a good request after number {start + len(batch)} was not answered")
    return faults


@asynccontextmanager
async def crowd(url: str, idle: int, slow_heads: int, slow_readers: int) -> AsyncIterator[None]:
    """So many bad callers of each kind, who stay."""
    async with AsyncExitStack() as stack:
        callers: list[Caller] = []

        async def arrive(raw: bytes, *, reads: bool) -> None:
            caller = await stack.enter_async_context(calling(url))
            await caller.send(raw)
            if reads:
                assert (await caller.told()).status == 200
            callers.append(caller)

        await _all([lambda: arrive(GOOD, reads=True)] * idle)
        await _all([lambda: arrive(GOOD[:-4], reads=False)] * slow_heads)
        await _all([lambda: arrive(TRAINING * 60, reads=False)] * slow_readers)
        assert len(callers) == idle + slow_heads + slow_readers
        dripping = asyncio.create_task(_drip(callers[idle : idle + slow_heads]))
        try:
            yield
        finally:
            dripping.cancel()


async def _drip(callers: list[Caller]) -> None:
    """A byte of each slow head now and then, for ever."""
    while True:
        for caller in callers:
            await caller.send(b"a")
            await asyncio.sleep(0.01)


async def good_answers(url: str, asks: int) -> int:
    """How many of so many good requests, half of them on new connections, are answered."""
    answered = 0
    async with calling(url) as kept:
        for _ in range(asks // 2):
            answer = await (await kept.send(TRAINING)).answer()
            answered += answer is not None and answer.status == 200
            async with calling(url) as new:
                answer = await (await new.send(TRAINING)).answer()
            answered += answer is not None and answer.status == 200
    _logger.info("%d of %d good requests answered", answered, asks)
    return answered


@contextmanager
def gateway_for_crowds(folder: Path) -> Iterator[Gateway]:
    """A gateway whose own limits the crowds do not reach, before a simulator without a limit."""
    with simulator(folder, "--limit", "0") as upstream:
        house = Gateway(folder, address(upstream), **PATIENT)
        with house.process:
            yield house


async def refused_by_both_planes(house: Gateway, counts: tuple[int, int, int], seed: int) -> float:
    """The growth of its memory (MiB) by so many malformed requests: to begin with, to the data
    plane, to the admin plane. AssertionError if one was answered otherwise than it should be."""
    before = 0
    for url, count in zip((house.data, house.data, house.admin), counts, strict=True):
        assert await refusals(url, count, seed=seed + count) == []
        before = before or memory_of(house.process.pid)
    assert "Traceback" not in house.process.output
    return (memory_of(house.process.pid) - before) / 1024**2
