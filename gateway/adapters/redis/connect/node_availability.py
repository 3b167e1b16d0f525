"""Decides when a node of Redis counts as away, and turns its errors into errors of the gateway.

A *look* is a group of commands that finds out whether the node answers, takes writes, and is in a
good state (`Node.judge`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final, TypeVar

import redis.asyncio as driver
from redis.exceptions import (
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as LateError

from gateway.adapters.redis.connect.transport import Route, why
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock, Deadline, Observer

T = TypeVar("T")
Command = Callable[[driver.Redis], Awaitable[T]]
OnTime = Callable[[float, float], None]

# Errors while a reply is read. They count as failures of Redis.
NONSENSE = (ValueError, TypeError, LookupError, AttributeError)

# Errors by which Redis refuses all writes: it is a replica, it is full, it cannot save its
# snapshot, or it has too few replicas.
_UNWRITABLE: Final = (ReadOnlyError, OutOfMemoryError)
_UNWRITABLE_WORDS: Final = ("MISCONF ", "NOREPLICAS ")

_SILENCES: Final = 3
# After a late answer, new operations wait for looks at the node, for this many seconds at most. A
# healthy Redis answers a look within this time.
_DOUBT: Final = 0.01
# The expiry (ms) of the key that a look tries to write.
_WRITTEN_KEEP: Final = 1_000


class Node:
    """One server of Redis, and whether it is away.

    The node counts as away if a connection is refused or lost, if a reply cannot be read, or if
    Redis refuses writes. If an answer is late (it did not come in time), the node is only in doubt,
    and the gateway makes more looks. New operations wait until the doubt ends. They fail if it
    lasts longer than `_DOUBT`. After `_SILENCES` late answers in a row, the node counts as away.

    timeout, on_time, prefix  see Connection
    name                      for observers, if there are several nodes
    on_move                   called after each assignment to `is_up`
    """

    # A key with this hash tag is on this node. None: no slot of the node is known.
    tag: str | None = None

    # Further commands of a look.
    questions: ClassVar[tuple[str, ...]] = ()
    # Errors after which a command is sent again, perhaps to another node. They do not count as
    # failures of this node.
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
        prefix: str,
        name: str = "",
        on_move: Callable[[], None] = lambda: None,
    ) -> None:
        self.route = route
        self.is_up = False
        self._on_move = on_move
        self._is_known = False
        self._client = driver.Redis.from_pool(route.pool(connections))
        # Looks have a connection of their own, so they do not wait for operations.
        self._looking = driver.Redis.from_pool(route.pool(1))
        self._doubt: asyncio.Task[None] | None = None
        self._doubted_at = 0.0
        self._answers = 0
        self._clock = clock
        self._observer = observer
        self._timeout = timeout
        self._on_time = on_time
        self._name = name
        self._prefix = prefix

    @property
    def is_away(self) -> bool:
        """Whether the node is known to be away. False at the start."""
        return self._is_known and not self.is_up

    async def reach(self) -> None:
        """Look once. If the node does not answer, raise RedisUnavailable with the reason."""
        await self._ask(RedisOperation.PING, self._look, self._looking, self._timeout)

    async def check(self) -> bool:
        """Look once. Returns whether the node is up."""
        if not self.is_up:
            await self._drop_idle()
        with suppress(RedisUnavailable):
            await self.reach()
            self._set_is_up(True)
        return self.is_up

    async def close(self) -> None:
        """Close all connections. No operation may be under way."""
        self.is_up = False
        self._on_move()
        if self._doubt is not None:
            self._doubt.cancel()
            await asyncio.wait({self._doubt})
        with suppress(RedisError, OSError):
            async with Deadline(self._timeout):
                await self._client.aclose()
                await self._looking.aclose()
                await self.route.close()

    async def ask(
        self,
        operation: RedisOperation,
        command: Command[T],
        beside: Sequence[RedisOperation] = (),
    ) -> T:
        """Run the command, even if the node is away. Raises RedisUnavailable. After a redirection,
        raises the driver's error unchanged. `beside` names the other operations that share this
        command."""
        if self._doubt is not None and not await self._is_cleared(self._doubt):
            raise RedisUnavailable(operation, self._named("an earlier answer did not come in time"))
        return await self._ask(operation, command, self._client, self._timeout, beside)

    def heard(self, reply: Sequence[Any], sent: float) -> None:
        """Pass the node's time, with which the reply begins, to `on_time`. The question was sent at
        `sent` (monotonic)."""
        seconds = int(reply[0]) + int(reply[1]) / 1_000_000
        self._on_time(seconds, self._clock.monotonic() - sent)

    def judge(self, answers: Sequence[Any]) -> None:
        """Judge the answers to `questions`. Raises an error of the driver if the node's state is
        bad."""

    async def _ask(
        self,
        operation: RedisOperation,
        command: Command[T],
        client: driver.Redis,
        seconds: float,
        beside: Sequence[RedisOperation] = (),
    ) -> T:
        started = self._clock.monotonic()
        try:
            # One deadline for all: waiting for a free connection, connecting, and the command.
            async with Deadline(seconds):
                result = await command(client)
        except self.redirections:
            raise
        except (TimeoutError, OSError, RedisError, *NONSENSE) as fault:
            raise self._failed(operation, fault, beside) from fault
        took = self._clock.monotonic() - started
        for each in (operation, *beside):
            self._observer.redis_timed(each, took)
        self._answers += 1
        if not self._is_known:
            self._set_is_up(True)
        return result

    def _failed(
        self, operation: RedisOperation, fault: Exception, beside: Sequence[RedisOperation] = ()
    ) -> RedisUnavailable:
        """Report a failed operation, and return its error. After a late answer the node is in
        doubt. If Redis refused only this command, and the command was no look, nothing changes.
        After any other failure the node is away."""
        unwritable = _is_unwritable(fault)
        reason = self._named(why(fault) + ": Redis refuses writes" * unwritable)
        for each in (operation, *beside):
            self._observer.redis_failed(each, reason)
        refuses_all = unwritable or isinstance(fault, ClusterDownError)
        refused_only_this = isinstance(fault, ResponseError) and not refuses_all
        if isinstance(fault, TimeoutError | LateError):
            self._begin_doubt()
        elif not refused_only_this or operation is RedisOperation.PING:
            self._set_is_up(False)
        return RedisUnavailable(operation, reason)

    def _named(self, reason: str) -> str:
        return f"{self._name}: {reason}" if self._name else reason

    def _begin_doubt(self) -> None:
        if self._doubt is None and not self.is_away:
            self._doubted_at = self._clock.monotonic()
            self._doubt = asyncio.create_task(self._settle())
            self._doubt.add_done_callback(self._end_doubt)

    def _end_doubt(self, _settled: asyncio.Task[None]) -> None:
        self._doubt = None

    async def _settle(self) -> None:
        """Look until any operation gets an answer, or the node counts as away."""
        answers = self._answers
        for _ in range(_SILENCES - 1):
            with suppress(RedisUnavailable):
                await Node.reach(self)
            if self._answers != answers or self.is_away:
                return
        self._set_is_up(False)

    async def _is_cleared(self, doubt: asyncio.Task[None]) -> bool:
        left = self._doubted_at + _DOUBT - self._clock.monotonic()
        with suppress(TimeoutError):
            async with Deadline(left):
                await asyncio.wait({doubt})
        return doubt.done() and self.is_up

    def _set_is_up(self, up: bool) -> None:
        """Note whether the node is up. Observers hear of each change, and of a node that is away at
        the start."""
        is_news = up is not self.is_up or not self._is_known
        is_up_from_the_start = up and not self._is_known
        self.is_up, self._is_known = up, True
        self._on_move()
        if is_news and not is_up_from_the_start:
            self._observer.redis_moved(up, self._name)

    async def _look(self, client: driver.Redis) -> None:
        # A restarted Redis that still loads its data answers TIME, but not PING.
        sent = self._clock.monotonic()
        async with client.pipeline(transaction=False) as pipe:
            pipe.ping()
            pipe.execute_command("TIME")
            tag = self.tag
            if tag is not None:
                # A Redis at its `maxmemory` still answers reads and PING. The SET finds out whether
                # Redis refuses writes. With `xx` it stores and replicates nothing, because the key
                # never exists.
                pipe.set(f"{self._prefix}:{{{tag}}}:written", b"", px=_WRITTEN_KEEP, xx=True)
            for question in self.questions:
                pipe.execute_command(question)
            pong, time, *answers = await pipe.execute(raise_on_error=False)
        for refused in (pong, time):
            if isinstance(refused, Exception):
                raise refused
        if tag is not None and _is_unwritable(written := answers.pop(0)):
            raise written
        self.heard(time, sent)
        self.judge(answers)

    async def _drop_idle(self) -> None:
        """Close the idle connections. They were made before Redis went away, or before the master
        changed."""
        with suppress(RedisError, OSError):
            async with Deadline(self._timeout):  # closing TLS waits for the other side
                for client in (self._client, self._looking):
                    await client.connection_pool.disconnect(inuse_connections=False)


def _is_unwritable(answer: Any) -> bool:
    if isinstance(answer, _UNWRITABLE):
        return True
    return isinstance(answer, ResponseError) and str(answer).startswith(_UNWRITABLE_WORDS)


_TAG: Final = "bus"


class Single(Node):
    """The only node, which has all keys. If sentinels name the master, `reach` asks them before it
    looks."""

    questions: ClassVar = ("ROLE",)

    tags: Final = (_TAG,)

    tag = _TAG

    layout: Final = 0

    # A record that a cluster has in each region exists only once here.
    regions: Final[tuple[str | None, ...]] = (None,)

    def region(self, _name: str) -> str | None:
        """Always None."""
        return None

    def serves(self, _name: str) -> bool:
        """As Connection.serves."""
        return self.is_up

    def home(self, _name: str) -> str:
        """Always the same."""
        return _TAG

    def slot(self, _name: str) -> int:
        """Always the same."""
        return 0

    def skew(self, _name: str) -> float:
        """Always 0.0: this node has the shared clock."""
        return 0.0

    async def put(
        self,
        _at: str,
        operation: RedisOperation,
        command: Command[T],
        beside: Sequence[RedisOperation] = (),
    ) -> T:
        """As Cluster.put."""
        if not self.is_up:
            raise RedisUnavailable(operation, "it is away")
        return await self.ask(operation, command, beside)

    async def reach(self) -> None:
        """Ask the sentinels, then look. Raises RedisUnavailable with the reason."""
        await self._find_master()
        await super().reach()

    def judge(self, answers: Sequence[Any]) -> None:
        """Raises ReadOnlyError if the server is a replica: its data is perhaps outdated."""
        (role,) = answers
        # If the gateway's user in Redis is not allowed to ask for the role, `role` is an error. A
        # replica is then noticed only when it refuses a write.
        if not isinstance(role, Exception) and role[0] != b"master":
            raise ReadOnlyError

    async def _find_master(self) -> None:
        """Ask the sentinels for the master. Each question has its own deadline."""
        try:
            moved = await self.route.find()
        except (OSError, RedisError) as fault:
            raise self._failed(RedisOperation.PING, fault) from fault
        if moved:
            for client in (self._client, self._looking):
                pool: Any = client.connection_pool
                await pool.update_active_connections_for_reconnect()
            await self._drop_idle()
