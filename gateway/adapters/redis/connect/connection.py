"""The connection to Redis: decides when Redis counts as away, and turns errors of the driver into
errors of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from redis.exceptions import (
    ClusterDownError,
    ClusterError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import TimeoutError as LateError

from gateway.adapters.redis.connect.batching import Gathering
from gateway.adapters.redis.connect.script import Script, ScriptRun, run_together
from gateway.adapters.redis.connect.transport import FAULTS, Servers, why
from gateway.core.errors import RedisUnavailable
from gateway.core.redis_url import read_address
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock, ConnectionObserver, Deadline

T = TypeVar("T")
Command = Callable[[Any], Awaitable[T]]

_RUN_AT_ONCE: Final = 50  # the most scripts in one round trip, so that the reply comes in time

# A look may take this many times the time of an operation.
_PATIENCE: Final = 3
# Errors by which Redis refuses all commands, or all writes: the cluster is down, the server is a
# replica, it is full, it cannot save its snapshot, or it has too few replicas.
_REFUSES_ALL: Final = (ClusterDownError, ReadOnlyError, OutOfMemoryError)
_REFUSES_WRITES: Final = ("MISCONF ", "NOREPLICAS ")


class Connection:
    """Connects to Redis, and remembers whether Redis is away.

    Redis counts as away if a connection is refused or lost, if a reply cannot be read, if Redis
    refuses writes, or if a *look* fails. A look finds out whether Redis answers and takes writes.
    `run` looks again and again, and at once after an operation that got no answer in time. A look
    that succeeds ends the absence. While Redis is away, each operation fails at once. A cluster
    counts as away as a whole.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        observer: ConnectionObserver,
        *,
        timeout: float = 0.05,
        on_time: Callable[[float, float], None] = lambda *_: None,
        prefix: str = "gateway",
        connections: int = 16,
        look_every: float = 1.0,
        look_every_while_away: float = 0.5,
    ) -> None:
        """Raises ValueError for a bad URL.

        timeout       seconds for a whole operation
        on_time       called with Redis' time and the length of the round trip (both in seconds)
        prefix        the beginning of the key that a look tries to write (it is never stored)
        connections   the most operations under way. Further operations wait
        look_every    seconds between two looks in `run`, while Redis is up.
                      `look_every_while_away`: while Redis is away
        """
        address = read_address(url)
        self.servers = Servers(address, timeout, prefix)
        self.is_cluster = address.is_cluster
        self.is_up = False
        self._is_known = False
        self._look_now = asyncio.Event()
        self._places = asyncio.Semaphore(connections)
        self._clock = clock
        self.now, self.monotonic = clock.now, clock.monotonic
        self._observer = observer
        self._timeout = timeout
        self._on_time = on_time
        self._look_every = look_every
        self._look_every_while_away = look_every_while_away
        self._scripts: Gathering[ScriptRun, Any] = Gathering(
            lambda run: run.operation, self._run_together, _RUN_AT_ONCE
        )

    async def run(self) -> None:
        """Look again and again, until cancelled. After a late answer, look at once."""
        while True:
            self._look_now.clear()
            pause = self._look_every if await self.check() else self._look_every_while_away
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look_now.wait()

    async def check(self, patience: float | None = None) -> bool:
        """Look once, as `reach`. Returns whether Redis is up."""
        with suppress(RedisUnavailable):
            await self.reach(patience)
        return self.is_up

    async def reach(self, patience: float | None = None) -> None:
        """Look once, for `patience` seconds at most (None: `_PATIENCE` times `timeout`). If the
        look fails, raise RedisUnavailable with the reason."""
        if not self.is_up:  # the connections were made before Redis went away
            await self._disconnect()
        seconds = self._timeout * _PATIENCE if patience is None else patience
        await self._ask([RedisOperation.PING], self._look, seconds)
        self._set_is_up(True)

    async def _look(self, _client: Any) -> None:
        sent = self._clock.monotonic()
        told = await self.servers.look()
        seconds = int(told[0]) + int(told[1]) / 1_000_000
        self._on_time(seconds, self._clock.monotonic() - sent)

    async def _disconnect(self) -> None:
        with suppress(*FAULTS):
            async with Deadline(self._timeout):  # closing TLS waits for the other side
                await self.servers.disconnect()

    async def close(self) -> None:
        """Close all connections. The task of `run` must have been cancelled before."""
        self.is_up = False
        await self._scripts.close()
        await self._disconnect()

    async def execute(
        self,
        operation: RedisOperation,
        command: Command[T],
        beside: Sequence[RedisOperation] = (),
    ) -> T:
        """Run the command. Raises RedisUnavailable, at once if Redis is away.

        A reply that `command` cannot read counts as a failure of Redis. `beside` names the other
        operations that share this command.
        """
        self._refuse_while_away(operation)

        async def in_its_turn(client: Any) -> T:
            async with self._places:
                return await command(client)

        return await self._ask([operation, *beside], in_its_turn, self._timeout)

    def _refuse_while_away(self, operation: RedisOperation) -> None:
        if not self.is_up:
            raise RedisUnavailable(operation, "it is away")

    async def _ask(
        self, operations: Sequence[RedisOperation], command: Command[T], seconds: float
    ) -> T:
        started = self._clock.monotonic()
        try:
            # One deadline for all: waiting for a turn, connecting, and the command.
            async with Deadline(seconds):
                result = await command(self.servers.client)
        except FAULTS as fault:
            raise self._failed(operations, fault) from fault
        took = self._clock.monotonic() - started
        for each in operations:
            self._observer.redis_timed(each, took)
        return result

    def _failed(self, operations: Sequence[RedisOperation], fault: Exception) -> RedisUnavailable:
        """Note a failure. If Redis refused only this command, nothing changes."""
        for each in operations:
            self._observer.redis_failed(each, _reason(fault))
        is_late = isinstance(fault, TimeoutError | LateError)
        is_refused = isinstance(fault, ResponseError | ClusterError) and not _refuses_all(fault)
        if operations[0] is RedisOperation.PING or not (is_late or is_refused):
            self._set_is_up(False)
        elif is_late:
            self._look_now.set()
        return RedisUnavailable(operations[0], _reason(fault))

    def _set_is_up(self, up: bool) -> None:
        """Observers hear of each change, and of a Redis that is away at the start."""
        is_news = up is not self.is_up if self._is_known else not up
        self.is_up, self._is_known = up, True
        if is_news:
            self._observer.redis_moved(up)

    async def run_script(
        self,
        operation: RedisOperation,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int],
        read: Callable[[list[Any]], T],
    ) -> T:
        """Run a script, whose reply begins with Redis' time (seconds and microseconds). `read` gets
        the rest of the reply, and makes the result from it. The scripts of one turn of the event
        loop share round trips. A script with a large argument (see `ScriptRun.is_large`) has a
        round trip of its own."""
        (result,) = await self.run_many(operation, script, [(keys, arguments)], read)
        return result

    async def run_many(
        self,
        operation: RedisOperation,
        script: Script,
        calls: Sequence[tuple[Sequence[str], Sequence[str | bytes | int]]],
        read: Callable[[list[Any]], T],
    ) -> list[T]:
        """As `run_script`, once for each pair of keys and arguments in `calls`."""
        self._refuse_while_away(operation)
        runs = [ScriptRun(operation, script, *call) for call in calls]
        replies = await asyncio.gather(*map(self._reply_to, runs))
        try:
            return [read(_without_time(reply)) for reply in replies]
        except FAULTS as fault:
            raise self._failed([operation], fault) from fault

    def _reply_to(self, run: ScriptRun) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self._alone(run)) if run.is_large else self._scripts.ask(run)

    async def _alone(self, run: ScriptRun) -> Any:
        (reply,) = await self._run_together([run])
        return reply

    async def _run_together(self, runs: list[ScriptRun]) -> list[Any]:
        """The reply to each script, or its error."""
        first, *others = [run.operation for run in runs]
        return await self.execute(first, lambda client: run_together(client, runs), others)

    async def read(self, operation: RedisOperation, names: Sequence[str]) -> list[bytes | None]:
        """The values of these keys, in one round trip (in a cluster: one for each node)."""

        async def command(_client: Any) -> list[bytes | None]:
            values = await self.servers.read(names)
            # A server that is no Redis, or a connection that has lost its place between the
            # replies, can send anything.
            if not isinstance(values, list) or len(values) != len(names):
                raise ValueError("the reply has another number of values")
            if not all(each is None or isinstance(each, bytes) for each in values):
                raise TypeError("the reply has a value of another kind")
            return values

        return await self.execute(operation, command)


def _without_time(reply: Any) -> list[Any]:
    """The reply of a script after Redis' time. Raises what Redis replied as an error."""
    if isinstance(reply, Exception):
        raise reply
    if not isinstance(reply, list) or not all(isinstance(each, bytes) for each in reply[:2]):
        raise TypeError("the reply of a script does not begin with the time")
    return reply[2:]


def _reason(fault: Exception) -> str:
    return why(fault) + ": Redis refuses writes" * _refuses_writes(fault)


def _refuses_writes(fault: Exception) -> bool:
    if isinstance(fault, ReadOnlyError | OutOfMemoryError):
        return True
    return isinstance(fault, ResponseError) and str(fault).startswith(_REFUSES_WRITES)


def _refuses_all(fault: Exception) -> bool:
    return isinstance(fault, _REFUSES_ALL) or _refuses_writes(fault)
