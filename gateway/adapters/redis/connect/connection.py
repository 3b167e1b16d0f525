"""The way to Redis for all who ask: one node or many, and the watch over them.

Lives here: how a script is run and how many keys are asked for together. Whether a node counts
as away is the business of node.py, which of several has a key that of cluster.py.
"""

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
from gateway.adapters.redis.connect.node import NONSENSE, Single
from gateway.adapters.redis.connect.script import Script, ScriptRun, run_together
from gateway.adapters.redis.connect.transport import Route
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock, Deadline, Observer

T = TypeVar("T")

# Seconds between looks at a Redis that has said nothing yet.
_BETWEEN_FIRST_LOOKS: Final = 0.01

# The most scripts in one round trip, so that the reply comes in time.
_RUN_AT_ONCE: Final = 50

# Within what was asked together: these are to be asked again by themselves.
_REDIRECTED: Final = (AskError, TryAgainError)


def _ignore_time(_redis_seconds: float, _round_trip: float) -> None:
    """Nobody wants to know."""


class Connection:
    """Redis, or the knowledge that it is away.

    While a node is away (node.py says when) every call for what stands there fails at once, until
    the watch (`run`) has heard from it again. `on_time` is called with
    Redis' clock (seconds) and the seconds that the asking took, for each script and each look of
    the watch. Keys whose braces hold the same stand together.
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
        """`timeout` in seconds holds for a whole operation; looks offer to write a key under
        `prefix`.

        Raises ValueError for a bad URL.
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
        """Whether all of it answered last; False means that some calls, or all, fail at once."""
        return self._nodes.is_up

    @property
    def tags(self) -> tuple[str, ...]:
        """A word for each master: keys with it in their braces stand there."""
        return self._nodes.tags

    @property
    def regions(self) -> tuple[str | None, ...]:
        """What is to be read beside every key is written once for each of these words, which are
        its braces' then; None where it is written once."""
        return self._nodes.regions

    def region(self, name: str) -> str | None:
        """Whose copy stands near that key."""
        return self._nodes.region(name)

    @property
    def layout(self) -> Hashable:
        """Another one when keys have changed hands between nodes."""
        return self._nodes.layout

    async def has_moved_since(self, layout: Hashable) -> bool:
        """Whether keys have changed hands since the layout was that one, as far as Redis says."""
        if not self.is_alone:
            await self.check()
        return self.layout != layout

    def serves(self, name: str) -> bool:
        """Whether what stands under that key can be asked for; False: calls fail at once."""
        return self._nodes.serves(name)

    def home(self, name: str) -> Hashable:
        """Keys of the same home are asked for in one round trip."""
        return self._nodes.home(name)

    def skew(self, name: str) -> float:
        """Seconds by which the clock that times this key is ahead of the shared one."""
        return self._nodes.skew(name)

    async def run(self) -> None:
        """Keep looking whether Redis is there, until cancelled by the owner."""
        while True:
            up = await self.check()
            await self._clock.sleep(self._look_every if up else self._look_every_while_away)

    async def first_word(self, patience: float) -> None:
        """Look until Redis is up or known to be away, so many seconds at most."""
        with suppress(TimeoutError):
            async with Deadline(patience):
                while not await self.check() and not self._nodes.is_away:
                    await self._clock.sleep(_BETWEEN_FIRST_LOOKS)

    async def reach(self) -> None:
        """Ask once for an answer; raises RedisUnavailable with the reason."""
        await self._nodes.reach()

    async def check(self) -> bool:
        """Look once whether Redis answers, and close or open the breaker accordingly."""
        return await self._nodes.check()

    async def close(self) -> None:
        """Close all connections; the watch must have been cancelled."""
        await self._scripts.close()
        await self._nodes.close()

    async def execute(
        self,
        operation: RedisOperation,
        command: Callable[[driver.Redis], Awaitable[T]],
        *,
        at: str = "",
        asked_to_wait: float = 0.0,
    ) -> T:
        """What the command brings from where the key `at` stands; raises RedisUnavailable, at
        once while that is away.

        `command` also reads the reply: what it cannot read is a failure of Redis. It may take
        the timeout, and the seconds that Redis is asked to wait before it answers.
        """
        return await self._nodes.put(at, operation, command, asked_to_wait)

    async def run_script(
        self,
        operation: RedisOperation,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int],
        read: Callable[[list[Any]], T],
    ) -> T:
        """What `read` makes of the reply, behind the two parts of the time that open it.

        Scripts of one turn of the event loop are run in one round trip a node.
        """
        run = ScriptRun(operation, script, keys, arguments)
        if run.is_large or not self.serves(run.at):
            return await self._run_alone(run, read)
        reply = await self._scripts.ask(run)
        try:
            if isinstance(reply, Exception):
                raise reply
            return read(reply[2:])
        except (RedisError, *NONSENSE) as fault:
            said = fault
        return await self._run_alone(run, read, said)

    async def _run_alone(
        self, run: ScriptRun, read: Callable[[list[Any]], T], said: Exception | None = None
    ) -> T:
        """The same in a round trip of its own; after an error that it was answered with among
        others, which counts as one of its own, and is followed if it says where to ask instead."""
        faults = [] if said is None else [said]

        async def command(client: driver.Redis) -> T:
            if faults:
                raise faults.pop()
            sent = self._clock.monotonic()
            reply = await run.run(client)
            self._nodes.heard(reply, sent)
            return read(reply[2:])

        return await self.execute(run.operation, command, at=run.at)

    async def _run_together(self, runs: list[ScriptRun]) -> dict[ScriptRun, Any]:
        """What each was answered with, which may be an error."""

        async def command(client: driver.Redis) -> list[Any]:
            sent = self._clock.monotonic()
            replies = await run_together(client, runs)
            told = next((each for each in replies if isinstance(each, list)), None)
            if told is not None:
                self._nodes.heard(told, sent)
            return replies

        first, *others = runs
        beside = tuple(run.operation for run in others)
        replies = await self._nodes.put(first.at, first.operation, command, 0.0, beside)
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
        """Run the script once for each (keys, arguments), in one round trip a node; what `read`
        makes of each reply, as above."""
        found: dict[int, T] = {}

        async def run_at(some: Sequence[int]) -> None:
            async def command(client: driver.Redis) -> list[Any]:
                async with client.pipeline(transaction=False) as pipe:
                    pipe.script_load(script.text)
                    for number in some:
                        keys, arguments = calls[number]
                        pipe.evalsha(script.digest, len(keys), *keys, *arguments)
                    return _sound(await pipe.execute(raise_on_error=False))[1:]

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
        """What stands under each name, in one round trip a node, one command a slot."""
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
                    return _sound(await pipe.execute(raise_on_error=False))

            replies = await self.execute(operation, command, at=some[0])
            for slot, reply in zip(slots, replies, strict=True):
                if isinstance(reply, _REDIRECTED):
                    await read_at(slot)
                else:
                    found.update(zip(slot, reply, strict=True))

        await all_of(map(read_at, _grouped(names, self.home)))
        return [found[name] for name in names]


def _sound(replies: list[Any]) -> list[Any]:
    """The replies, if none is an error but those that say where to ask instead."""
    for reply in replies:
        if isinstance(reply, Exception) and not isinstance(reply, _REDIRECTED):
            raise reply
    return replies


def _grouped(items: Sequence[T], by: Callable[[T], Hashable]) -> list[list[T]]:
    """Those of which `by` says the same, together."""
    groups: defaultdict[Hashable, list[T]] = defaultdict(list)
    for item in items:
        groups[by(item)].append(item)
    return list(groups.values())


async def all_of(work: Any) -> None:
    """Do all of it, to the end; raises the first RedisUnavailable."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
