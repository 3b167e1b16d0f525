"""The connection to Redis (one node or a cluster), and the task that checks whether Redis answers
(see node_availability)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import redis.asyncio as driver
from redis.exceptions import AskError, RedisError, TryAgainError

from gateway.adapters.redis.connect.batching import Gathering
from gateway.adapters.redis.connect.cluster import Cluster
from gateway.adapters.redis.connect.node_availability import NONSENSE, Single
from gateway.adapters.redis.connect.script import Script, ScriptRun, run_together
from gateway.adapters.redis.connect.transport import Route
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock, Deadline, Observer

T = TypeVar("T")

# Seconds between two calls of `check` before Redis has answered for the first time.
_BETWEEN_FIRST_LOOKS: Final = 0.01

_RUN_AT_ONCE: Final = 50  # the most scripts in one round trip, so that the reply comes in time

# If a command in a pipeline fails with one of these errors, its slot has moved or is being moved.
# Only this command is sent again. After any other error, the whole operation fails. (MovedError is
# an AskError.)
_REDIRECTED: Final = (AskError, TryAgainError)


def _ignore_time(_redis_seconds: float, _round_trip: float) -> None:
    """Do nothing."""


class Connection:
    """Connects to Redis, and remembers whether Redis is away.

    While a node is away, each operation on one of its keys fails at once, until `check` succeeds.
    `run` calls `check` again and again. A check is a look at each node: it finds out whether the
    node answers and takes writes (see node_availability).
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        observer: Observer,
        *,
        timeout: float = 0.05,
        on_time: Callable[[float, float], None] = _ignore_time,
        prefix: str = "gateway",
        connections: int = 16,
        look_every: float = 1.0,
        look_every_while_away: float = 0.5,
    ) -> None:
        """Raises ValueError for a bad URL.

        timeout       seconds for a whole operation
        on_time       called with Redis' time and the length of the round trip (both in seconds)
        prefix        the beginning of the key that a look tries to write (it is never stored)
        look_every    seconds between two checks in `run`, while Redis is up.
                      `look_every_while_away`: while Redis is away
        """
        route = Route(url, timeout)
        kind = Cluster if route.seeds else Single
        self._nodes: Cluster | Single = kind(
            route,
            clock,
            observer,
            timeout=timeout,
            connections=connections,
            on_time=on_time,
            prefix=prefix,
        )
        self.route = self._nodes.route
        self.is_alone = isinstance(self._nodes, Single)  # one node has all keys
        self._clock = clock
        self.monotonic = clock.monotonic
        self._look_every = look_every
        self._look_every_while_away = look_every_while_away
        self._scripts: Gathering[ScriptRun, Any] = Gathering(
            lambda run: run.operation, self._run_together, _RUN_AT_ONCE, self._home_of
        )

    @property
    def is_up(self) -> bool:
        """Whether all nodes are up, and in a cluster all slots have a node."""
        return self._nodes.is_up

    @property
    def tags(self) -> tuple[str, ...]:
        """For each master, a hash tag whose keys are on this master."""
        return self._nodes.tags

    @property
    def regions(self) -> tuple[str | None, ...]:
        """A hash tag for each region (part of the slots), `(None,)` without a cluster. A look-up
        reads the records of its key, and the share record of the partition (see
        partition_invalidation). Each region has a copy of the share record, so that usually one
        node has all that a look-up needs."""
        return self._nodes.regions

    def region(self, name: str) -> str | None:
        """The hash tag of the region of this key. None without a cluster."""
        return self._nodes.region(name)

    @property
    def layout(self) -> Hashable:
        """A value that changes when keys move between nodes."""
        return self._nodes.layout

    async def has_moved_since(self, layout: Hashable) -> bool:
        """Whether keys have moved between nodes since the layout had this value."""
        if not self.is_alone:
            await self.check()
        return self.layout != layout

    def serves(self, name: str) -> bool:
        """Whether the node of this key is up."""
        return self._nodes.serves(name)

    def home(self, name: str) -> Hashable:
        """The node of this key."""
        return self._nodes.home(name)

    def skew(self, name: str) -> float:
        """Seconds by which the clock of this key's node is ahead of the shared clock."""
        return self._nodes.skew(name)

    async def run(self) -> None:
        """Call `check` again and again, until cancelled."""
        while True:
            up = await self.check()
            await self._clock.sleep(self._look_every if up else self._look_every_while_away)

    async def first_word(self, patience: float) -> None:
        """Wait until Redis is up or known to be away, for `patience` seconds at most."""
        with suppress(TimeoutError):
            async with Deadline(patience):
                while not await self.check() and not self._nodes.is_away:
                    await self._clock.sleep(_BETWEEN_FIRST_LOOKS)

    async def reach(self) -> None:
        """Ask once whether Redis answers. If not, raise RedisUnavailable with the reason."""
        await self._nodes.reach()

    async def check(self) -> bool:
        """Look once whether each node answers. Returns whether Redis is up."""
        return await self._nodes.check()

    async def close(self) -> None:
        """Close all connections. The task of `run` must have been cancelled before."""
        await self._scripts.close()
        await self._nodes.close()

    async def execute(
        self,
        operation: RedisOperation,
        command: Callable[[driver.Redis], Awaitable[T]],
        *,
        at: str = "",
    ) -> T:
        """Run the command on the node of the key `at`. Raises RedisUnavailable, at once if that
        node is away.

        A reply that `command` cannot read counts as a failure of Redis.
        """
        return await self._nodes.put(at, operation, command)

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
        loop share round trips to each node. A script with a large argument (see
        `ScriptRun.is_large`) has a round trip of its own."""
        run = ScriptRun(operation, script, keys, arguments)
        if run.is_large or not self.serves(run.at):
            return await self._run_alone(run, read)
        reply = await self._scripts.ask(run)
        try:
            if isinstance(reply, Exception):
                raise reply
            return read(reply[2:])
        except (RedisError, *NONSENSE) as fault:
            earlier = fault
        return await self._run_alone(run, read, earlier)

    async def _run_alone(
        self, run: ScriptRun, read: Callable[[list[Any]], T], earlier: Exception | None = None
    ) -> T:
        """As `run_script`, in a round trip of its own.

        `earlier` is the error of an earlier attempt (None: there was none). If it is a redirection
        or TRYAGAIN, the script runs again. If it is another error, the script does not run, and
        RedisUnavailable is raised.
        """
        faults = [] if earlier is None else [earlier]

        async def command(client: driver.Redis) -> T:
            if faults:
                raise faults.pop()
            sent = self._clock.monotonic()
            reply = await run.run(client)
            self._nodes.heard(reply, sent)
            return read(reply[2:])

        return await self.execute(run.operation, command, at=run.at)

    async def _run_together(self, runs: list[ScriptRun]) -> dict[ScriptRun, Any]:
        """The reply to each script, or its error."""

        async def command(client: driver.Redis) -> list[Any]:
            sent = self._clock.monotonic()
            replies = await run_together(client, runs)
            told = next((each for each in replies if isinstance(each, list)), None)
            if told is not None:
                self._nodes.heard(told, sent)
            return replies

        first, *others = runs
        beside = tuple(run.operation for run in others)
        replies = await self._nodes.put(first.at, first.operation, command, beside)
        return dict(zip(runs, replies, strict=True))

    def _home_of(self, run: ScriptRun) -> Hashable:
        return self._nodes.home(run.at)

    async def run_many(
        self,
        operation: RedisOperation,
        script: Script,
        calls: Sequence[tuple[Sequence[str], Sequence[str | bytes | int]]],
        read: Callable[[list[Any]], T],
    ) -> list[T]:
        """As `run_script`, once for each pair of keys and arguments in `calls`, in one round trip
        for each node."""
        found: dict[int, T] = {}

        async def run_at(some: Sequence[int]) -> None:
            async def command(client: driver.Redis) -> list[Any]:
                async with client.pipeline(transaction=False) as pipe:
                    pipe.script_load(script.text)
                    for number in some:
                        keys, arguments = calls[number]
                        pipe.evalsha(script.digest, len(keys), *keys, *arguments)
                    return _checked(await pipe.execute(raise_on_error=False))[1:]

            replies = await self.execute(operation, command, at=calls[some[0]][0][0])
            for number, reply in zip(some, replies, strict=True):
                if isinstance(reply, _REDIRECTED):
                    found[number] = await self.run_script(operation, script, *calls[number], read)
                else:
                    found[number] = read(reply[2:])

        homes = _grouped(range(len(calls)), lambda number: self.home(calls[number][0][0]))
        await all_of(map(run_at, homes))
        return [found[number] for number in range(len(calls))]

    async def read(self, operation: RedisOperation, names: Sequence[str]) -> list[Any]:
        """The values of these keys, in one round trip for each node."""
        if isinstance(self._nodes, Single):
            return await self.execute(operation, lambda client: client.mget(names))
        found: dict[str, Any] = {}

        async def read_at(some: Sequence[str]) -> None:
            slots = _grouped(some, self._nodes.slot)

            async def command(client: driver.Redis) -> list[Any]:
                if len(slots) == 1:
                    return [await client.mget(slots[0])]
                async with client.pipeline(transaction=False) as pipe:
                    for slot in slots:
                        pipe.mget(slot)
                    return _checked(await pipe.execute(raise_on_error=False))

            replies = await self.execute(operation, command, at=some[0])
            for slot, reply in zip(slots, replies, strict=True):
                if isinstance(reply, _REDIRECTED):
                    await read_at(slot)
                else:
                    found.update(zip(slot, reply, strict=True))

        await all_of(map(read_at, _grouped(names, self.home)))
        return [found[name] for name in names]


def _checked(replies: list[Any]) -> list[Any]:
    """The same replies. Raises the first error among them whose type is not in `_REDIRECTED`."""
    for reply in replies:
        if isinstance(reply, Exception) and not isinstance(reply, _REDIRECTED):
            raise reply
    return replies


def _grouped(items: Sequence[T], by: Callable[[T], Hashable]) -> list[list[T]]:
    groups: defaultdict[Hashable, list[T]] = defaultdict(list)
    for item in items:
        groups[by(item)].append(item)
    return list(groups.values())


async def all_of(work: Any) -> None:
    """Wait until all of the work has ended. Raises the first error."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
