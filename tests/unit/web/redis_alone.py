"""A plane whose trainings only Redis has, and a connection to it that knows the head."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core.access.caller import Client, Clients, Tenant, digest_of
from gateway.core.budget.window_log import Rate
from gateway.core.cache.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from gateway.flow.cache.tiers import Seen
from gateway.flow.singleflight import Flight
from gateway.ports import Clock, Found
from tests.doubles.shared import InMemoryShared
from tests.unit.web.planes import PASSTHROUGH, Data, training_reply
from tests.unit.web.wires import Door, get

TAG = b'"tag-a"'


class Redis(InMemoryShared):
    """Counts look-ups, holds them back while `open` is not set, and may be away."""

    def __init__(self, clock: Clock, entropy: Callable[[], str]) -> None:
        super().__init__(clock, entropy)
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.is_away = False

    async def lookup(self, key: Key) -> Found:
        self.asked.append(key.training_id)
        await self.open.wait()
        if self.is_away:
            raise RedisUnavailable(RedisOperation.LOOKUP, "it is away")
        return await super().lookup(key)


def redis_of(door: Door) -> Redis:
    """What stands for Redis there."""
    assert isinstance(door.data.shared, Redis)
    return door.data.shared


async def world(*, short: bool = True, rate: Rate | None = None) -> Door:
    """A connection to a plane that knows the head, and has `a` in Redis alone."""
    clients = Clients.of(
        "http://upstream.test",
        None,
        (Tenant("acme", "T", None),),
        (Client("web", (digest_of("t-1"),), "acme", rate),),
    )
    access = PASSTHROUGH if rate is None else clients
    words = "again and again " * 200
    data = Data(training_reply("a", (b"etag", TAG), words=words), access=access, shared=Redis)
    door = Door(data, short=short)
    for fields in ((), (b"If-None-Match: " + TAG,), (b"Accept-Encoding: gzip",)) * 3:
        await door.ask(get("a", *fields))
    data.clock.advance(1.5)
    forget(door)
    redis_of(door).asked.clear()
    door.connect()
    return door


def forget(door: Door) -> None:
    """Empty L1."""
    local = door.data.local
    for key in list(local.keys(training_ids={"a"})):
        local.drop(key)


def ended(door: Door) -> list[tuple[object, object]]:
    """Outcome and tier of each request."""
    return [(each[0], each[1]) for each in door.data.observer.of("requested")]


async def landed(flight: Flight[Seen | None]) -> None:
    """Return as soon as it has, before anybody is told."""
    for _ in range(100):
        if flight._task.done():
            return
        await asyncio.sleep(0)


def is_without_request(door: Door) -> bool:
    """Whether Starlette was not asked on this connection."""
    cycle: object = door.wire.cycle
    return cycle is None
