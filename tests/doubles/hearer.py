"""Replicas on a bus of a real Redis, and all that each of them hears."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from gateway.adapters.redis.bus import RedisBus
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.lease import Endings, RedisLease
from gateway.adapters.redis.store import RedisStore
from gateway.core.instant import Instant
from gateway.core.vocabulary import NoticeKind, RedisOperation
from gateway.ports import Notice
from tests.doubles.clocks import RealClock
from tests.doubles.loop_time import pass_time
from tests.doubles.observer import RecordingObserver
from tests.support.servers import SETTLED

PREFIX = "gateway"
CHANNEL = f"{PREFIX}:bus:@all"
RECORD = f"{PREFIX}:{{bus}}:record"
PARTITION = "0123456789abcdef" * 2
PURGE = Notice(NoticeKind.PURGED)

# So long that no stall of the machine passes for a silence; tests make it come by moving time.
HEARTBEAT = 30.0
# A replica is listed for a while after it counts as alive.
ALONE = 450.0
PERIOD = ALONE + 5 * HEARTBEAT
WORD = "0" * 16


def change(number: int) -> Notice:
    """A notice that can be told from others."""
    return Notice(NoticeKind.CHANGED, (f"trn_{number}",), PARTITION, Instant(number))


def new_word() -> str:
    """A word that never comes again."""
    return secrets.token_hex(8)


class Hearer:
    """One replica; `breaks` makes it fail at whatever it is told."""

    def __init__(self, url: str, name: str, *, heartbeat: float, timeout: float) -> None:
        self.observer = RecordingObserver()
        self.clock = clock = RealClock()
        self.connection = Connection(url, clock, self.observer, timeout=timeout)
        self.endings = Endings()
        self.bus = RedisBus(
            self.connection,
            PREFIX,
            clock,
            self.observer,
            replica=name,
            heartbeat=heartbeat,
            alone=ALONE,
            new_word=new_word,
            endings=self.endings,
        )
        self.store = RedisStore(
            self.connection,
            PREFIX,
            self.observer,
            longest_keep=600.0,
            longest_fetch=20.0,
            new_word=new_word,
        )
        self.lease = RedisLease(self.store, self.endings, replica=name)
        self.applied: list[Notice] = []
        self.gaps = 0
        self.breaks = False

    @property
    def spoken(self) -> int:
        """How many commands of the bus Redis has answered, heartbeats among them."""
        operations = [operation for operation, _ in self.observer.of("redis_timed")]
        return operations.count(RedisOperation.BUS)

    def apply(self, notice: Notice) -> None:
        """Remember the notice."""
        if self.breaks:
            raise ZeroDivisionError
        self.applied.append(notice)

    def gap(self) -> None:
        """Count the gap."""
        self.gaps += 1

    async def settle(self) -> None:
        """Let the replicas be known for long, if Redis has no record of them yet."""

        async def command(client: Any) -> None:
            if not await client.exists(RECORD):
                await client.hset(RECORD, mapping=SETTLED)

        await self.connection.execute(RedisOperation.BUS, command)

    async def connected(self, yes: bool = True, seconds: float = 30.0) -> None:
        """Return once notices arrive, or no longer do."""
        await until(lambda: self.bus.is_connected is yes, seconds)


@asynccontextmanager
async def hearer(
    url: str,
    name: str = "a",
    *,
    heartbeat: float = HEARTBEAT,
    timeout: float = 60.0,
) -> AsyncIterator[Hearer]:
    """A replica that hears, its connection under watch. Those that Redis has are known for long."""
    one = Hearer(url, name, heartbeat=heartbeat, timeout=timeout)
    await one.connection.check()
    await one.settle()
    await one.bus.enter()
    watch = asyncio.create_task(one.connection.run())
    listening = asyncio.create_task(one.bus.listen(one.apply, one.gap))
    try:
        await one.connected()
        # On the roll by its ear and by its heartbeat, which sleeps from now on.
        await until(lambda: one.spoken >= 3)
        yield one
    finally:
        for task in (listening, watch):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await one.connection.close()


@asynccontextmanager
async def hearers(
    url: str, *names: str, heartbeat: float = HEARTBEAT, timeout: float = 60.0
) -> AsyncIterator[list[Hearer]]:
    """Several replicas, each of which hears and is on the roll."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(hearer(url, name, heartbeat=heartbeat, timeout=timeout))
            for name in names
        ]


async def beat() -> None:
    """Let each replica's next heartbeat come now."""
    await pass_time(HEARTBEAT)


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return as soon as the condition holds; TimeoutError after so many seconds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.005)
