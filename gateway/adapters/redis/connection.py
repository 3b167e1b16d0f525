"""The way to Redis: one pool, one patience, one breaker for all who ask, and its watch.

Lives here: when Redis counts as away, how its errors become ours, and how a script is run.
What is asked of it is the business of store.py and budget.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any, TypeVar

import redis.asyncio as driver
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

from gateway.adapters.redis.route import Route, why
from gateway.core.errors import RedisUnavailable
from gateway.core.status import RedisOperation
from gateway.ports import Clock, Observer

T = TypeVar("T")

# Raised while what Redis sent is read: no bytes of its may pass for an error of our own.
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError)

_LUA = Path(__file__).parent / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name under which Redis remembers it."""

    text: str
    digest: str

    @classmethod
    def load(cls, *names: str) -> Script:
        """The script made of these files of `lua/`, preludes first."""
        text = "\n".join((_LUA / f"{name}.lua").read_text() for name in names)
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def _ignore_time(_redis_seconds: float, _round_trip: float) -> None:
    """Nobody wants to know."""


class Connection:
    """Redis, or the knowledge that it is away.

    The first failure opens the breaker and every call fails at once from then on, until the
    watch (`run`) has heard from Redis again. `on_time` is called with Redis' clock (seconds)
    and the seconds that the asking took, for each script and each look of the watch.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        observer: Observer,
        *,
        timeout: float = 0.05,
        on_time: Callable[[float, float], None] = _ignore_time,
        connections: int = 16,
        look_every: float = 1.0,
        look_every_while_away: float = 0.5,
    ) -> None:
        """`timeout` in seconds holds for a whole operation. Raises ValueError for a bad URL."""
        self.route = Route(url, timeout)
        self._client = driver.Redis.from_pool(self.route.pool(timeout, connections))
        self._clock = clock
        self._observer = observer
        self._timeout = timeout
        self._on_time = on_time
        self._look_every = look_every
        self._look_every_while_away = look_every_while_away
        self._up: bool | None = None

    @property
    def is_up(self) -> bool:
        """Whether Redis answered last; False means that calls fail at once."""
        return self._up is True

    async def run(self) -> None:
        """Keep looking whether Redis is there, until cancelled by the owner."""
        while True:
            up = await self.check()
            await self._clock.sleep(self._look_every if up else self._look_every_while_away)

    async def reach(self) -> None:
        """Ask once for an answer; raises RedisUnavailable with the reason."""
        await self._find_master()
        await self._attempt(RedisOperation.PING, self._look)

    async def check(self) -> bool:
        """Look once whether Redis answers, and close or open the breaker accordingly."""
        if not self.is_up:
            await self._drop_idle()
        with suppress(RedisUnavailable):
            await self.reach()
            self._move(True)
        return self.is_up

    async def close(self) -> None:
        """Close all connections; the watch must have been cancelled."""
        self._up = False
        with suppress(RedisError, OSError):
            await self._client.aclose()
            await self.route.close()

    async def execute(
        self,
        operation: RedisOperation,
        command: Callable[[driver.Redis], Awaitable[T]],
        *,
        asked_to_wait: float = 0.0,
    ) -> T:
        """What the command brings; raises RedisUnavailable, at once while Redis is away.

        `command` also reads the reply: what it cannot read is a failure of Redis. It may take
        the timeout, and the seconds that Redis is asked to wait before it answers.
        """
        if not self.is_up:
            raise RedisUnavailable(operation, "it is away")
        return await self._attempt(operation, command, asked_to_wait)

    async def run_script(
        self,
        operation: RedisOperation,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int],
        read: Callable[[list[Any]], T],
    ) -> T:
        """What `read` makes of the reply, behind the two parts of the time that open it."""

        async def command(client: driver.Redis) -> T:
            sent = self._clock.monotonic()
            parts: tuple[Any, ...] = (*keys, *arguments)
            try:
                reply: Any = await client.evalsha(script.digest, len(keys), *parts)
            except NoScriptError:
                reply = await client.eval(script.text, len(keys), *parts)
            self._heard(reply, sent)
            return read(reply[2:])

        return await self.execute(operation, command)

    async def run_many(
        self,
        operation: RedisOperation,
        script: Script,
        calls: Sequence[tuple[Sequence[str], Sequence[str | int]]],
    ) -> None:
        """Run the script once for each (keys, arguments), in one round trip."""

        async def command(client: driver.Redis) -> None:
            async with client.pipeline(transaction=False) as pipe:
                pipe.script_load(script.text)
                for keys, arguments in calls:
                    pipe.evalsha(script.digest, len(keys), *keys, *arguments)
                await pipe.execute()

        await self.execute(operation, command)

    async def _attempt(
        self,
        operation: RedisOperation,
        command: Callable[[driver.Redis], Awaitable[T]],
        asked_to_wait: float = 0.0,
    ) -> T:
        started = self._clock.monotonic()
        try:
            # The one deadline there is: connecting, waiting for a free connection, all.
            async with asyncio.timeout(self._timeout + asked_to_wait):
                result = await command(self._client)
        except (TimeoutError, OSError, RedisError, *_NONSENSE) as fault:
            self._failed(operation, fault)
            raise RedisUnavailable(operation, why(fault)) from fault
        self._observer.redis_timed(operation, self._clock.monotonic() - started)
        return result

    def _failed(self, operation: RedisOperation, fault: Exception) -> None:
        """A refused command is a fault, but Redis is there; one that became a replica is not."""
        self._observer.redis_failed(operation, why(fault))
        refused = isinstance(fault, ResponseError) and not isinstance(fault, ReadOnlyError)
        if not refused or operation is RedisOperation.PING:
            self._move(False)

    def _move(self, up: bool) -> None:
        before, self._up = self._up, up
        if up is not before and not (up and before is None):
            self._observer.redis_moved(up)

    async def _look(self, client: driver.Redis) -> None:
        # PING as well: TIME is answered while a restarted Redis still loads its data.
        sent = self._clock.monotonic()
        async with client.pipeline(transaction=False) as pipe:
            pipe.ping()
            pipe.execute_command("TIME")
            pipe.execute_command("ROLE")
            pong, time, role = await pipe.execute(raise_on_error=False)
        for refused in (pong, time):
            if isinstance(refused, Exception):
                raise refused
        self._heard(time, sent)
        # Who may not ask for the role gets an error in its place, and finds out by writing.
        if not isinstance(role, Exception) and role[0] != b"master":
            raise ReadOnlyError

    def _heard(self, reply: Sequence[Any], sent: float) -> None:
        seconds = int(reply[0]) + int(reply[1]) / 1_000_000
        self._on_time(seconds, self._clock.monotonic() - sent)

    async def _find_master(self) -> None:
        """Where sentinels have to be asked, their patience is beside that of the operation."""
        try:
            moved = await self.route.find()
        except (OSError, RedisError) as fault:
            self._failed(RedisOperation.PING, fault)
            raise RedisUnavailable(RedisOperation.PING, why(fault)) from fault
        if moved:
            pool: Any = self._client.connection_pool
            await pool.update_active_connections_for_reconnect()
            await self._drop_idle()

    async def _drop_idle(self) -> None:
        """What was connected before Redis went away is connected to nobody."""
        with suppress(RedisError, OSError):
            await self._client.connection_pool.disconnect(inuse_connections=False)
