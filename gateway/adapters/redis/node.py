"""One Redis: its pool, its patience, its breaker, and the look that opens and closes that.

Lives here: when a Redis counts as away, and how its errors become ours. Which of several is to
be asked is the business of connection.py and cluster.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

import redis.asyncio as driver
from redis.exceptions import ClusterDownError, ReadOnlyError, RedisError, ResponseError

from gateway.adapters.redis.route import Route, why
from gateway.core.errors import RedisUnavailable
from gateway.core.status import RedisOperation
from gateway.ports import Clock, Deadline, Observer

T = TypeVar("T")
Command = Callable[[driver.Redis], Awaitable[T]]
OnTime = Callable[[float, float], None]

# Raised while what Redis sent is read: no bytes of its may pass for an error of our own.
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError)

# Other refusals concern a command; after these whatever else is asked would be refused as well.
_AWAY = (ReadOnlyError, ClusterDownError)


class Node:
    """A Redis, or the knowledge that it is away.

    The first failure opens the breaker, and a look that is answered closes it. `timeout` in
    seconds holds for a whole operation. `on_time` is called with its clock (seconds) and the
    seconds that the asking took, for each script and each look. `name` is said to observers
    where there are several; `on_move` is called when the breaker has opened or closed.
    """

    # What a look asks beside the time, and what is for others to judge and no failure.
    questions: ClassVar[tuple[str, ...]] = ()
    redirections: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(
        self,
        route: Route,
        clock: Clock,
        observer: Observer,
        *,
        timeout: float,
        connections: int,
        on_time: OnTime,
        name: str = "",
        on_move: Callable[[], None] = lambda: None,
    ) -> None:
        self.route = route
        self.is_up = False
        self._on_move = on_move
        self._is_known = False
        self._client = driver.Redis.from_pool(route.pool(connections))
        self._clock = clock
        self._observer = observer
        self._timeout = timeout
        self._on_time = on_time
        self._name = name

    @property
    def is_away(self) -> bool:
        """Whether it is known not to answer; False also while nobody has asked yet."""
        return self._is_known and not self.is_up

    async def reach(self) -> None:
        """Ask once for an answer; raises RedisUnavailable with the reason."""
        await self.ask(RedisOperation.PING, self._look)

    async def check(self) -> bool:
        """Look once whether it answers, and close or open the breaker accordingly."""
        if not self.is_up:
            await self._drop_idle()
        with suppress(RedisUnavailable):
            await self.reach()
            self._move(True)
        return self.is_up

    async def close(self) -> None:
        """Close all connections; nobody must be asking."""
        self.is_up = False
        self._on_move()
        with suppress(RedisError, OSError):
            async with Deadline(self._timeout):
                await self._client.aclose()
                await self.route.close()

    async def ask(
        self, operation: RedisOperation, command: Command[T], asked_to_wait: float = 0.0
    ) -> T:
        """What the command brings, whatever the breaker says; raises RedisUnavailable, and the
        driver's error where that is a redirection."""
        started = self._clock.monotonic()
        try:
            # The one deadline there is: connecting, waiting for a free connection, all.
            async with Deadline(self._timeout + asked_to_wait):
                result = await command(self._client)
        except self.redirections:
            raise
        except (TimeoutError, OSError, RedisError, *_NONSENSE) as fault:
            raise self._failed(operation, fault) from fault
        self._observer.redis_timed(operation, self._clock.monotonic() - started)
        if not self._is_known:
            self._move(True)
        return result

    def heard(self, reply: Sequence[Any], sent: float) -> None:
        """It told the time, in the two parts that open the reply, to a question sent then."""
        seconds = int(reply[0]) + int(reply[1]) / 1_000_000
        self._on_time(seconds, self._clock.monotonic() - sent)

    def judge(self, answers: Sequence[Any]) -> None:
        """What a look brought beside the time; raises the driver's error for a bad state."""

    def _failed(self, operation: RedisOperation, fault: Exception) -> RedisUnavailable:
        """A refused command is a fault, but Redis is there; one that became a replica, or whose
        cluster is down, is not."""
        reason = f"{self._name}: {why(fault)}" if self._name else why(fault)
        self._observer.redis_failed(operation, reason)
        refused = isinstance(fault, ResponseError) and not isinstance(fault, _AWAY)
        if not refused or operation is RedisOperation.PING:
            self._move(False)
        return RedisUnavailable(operation, reason)

    def _move(self, up: bool) -> None:
        is_news = up is not self.is_up or not self._is_known
        is_there_from_the_start = up and not self._is_known
        self.is_up, self._is_known = up, True
        self._on_move()
        if is_news and not is_there_from_the_start:
            self._observer.redis_moved(up, self._name)

    async def _look(self, client: driver.Redis) -> None:
        # PING as well: TIME is answered while a restarted Redis still loads its data.
        sent = self._clock.monotonic()
        async with client.pipeline(transaction=False) as pipe:
            pipe.ping()
            pipe.execute_command("TIME")
            for question in self.questions:
                pipe.execute_command(question)
            pong, time, *answers = await pipe.execute(raise_on_error=False)
        for refused in (pong, time):
            if isinstance(refused, Exception):
                raise refused
        self.heard(time, sent)
        self.judge(answers)

    async def _drop_idle(self) -> None:
        """What was connected before Redis went away is connected to nobody."""
        with suppress(RedisError, OSError):
            async with Deadline(self._timeout):  # TLS waits for the other side's farewell
                await self._client.connection_pool.disconnect(inuse_connections=False)
