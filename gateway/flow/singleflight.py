"""Flights: work that several requests for one key share. The first request starts a flight, and the
others join. A request that leaves does not end the flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from gateway.core.errors import ShuttingDown
from gateway.flow.timings import Spent, sharing, spent_of_flight, watch
from gateway.ports import Clock

Name = TypeVar("Name", bound=Hashable)
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class Course:
    """Whether the result of a flight may be stored, and in which tiers.

    is_current  False after an invalidation of the key. No further request joins then, and the
                result is not put into L1. The result of a fetch is offered to Redis nevertheless
    may_store   False after an invalidation that Redis perhaps does not know, and after a purge. The
                result is then not offered to Redis
    is_paid     the flight makes a call, or has made one: `bring` has no effect any more

    If the request has the directive `no-store`, `is_current` and `may_store` are False from the
    beginning.
    """

    is_current: bool = field(default=True, init=False)
    may_store: bool = field(default=True, init=False)
    is_paid: bool = field(default=False, init=False)

    def outdate(self, *, known: bool) -> None:
        """Note an invalidation that ruled out the result. `known`: Redis knows the invalidation."""
        self.is_current = False
        self.may_store &= known


@dataclass(slots=True, eq=False)
class Flight(Course, Generic[Result]):
    """Shared work in progress.

    is_unhurried  no caller waited for the flight when it began: it is a refresh, or a call that the
                  sweep made necessary
    """

    spent: Spent
    is_unhurried: bool = field(default=False, init=False)

    _task: asyncio.Future[Result] = field(init=False)
    _brought: list[Result] = field(default_factory=list, init=False)  # by `bring`

    async def join(self, patience: float | None = None) -> Result:
        """Returns the flight's result, or raises its error. Raises TimeoutError after `patience`
        seconds, and ShuttingDown if the flight was cancelled."""
        with sharing(self.spent):
            if patience is None:
                await self._end()
            else:
                async with asyncio.timeout(patience):
                    await self._end()
        if self._brought:
            return self._brought[0]
        if self._task.cancelled():
            raise ShuttingDown
        return self._task.result()

    def bring(self, result: Result) -> None:
        """End the flight with this result, because its work is not needed any more."""
        if not self._task.done() and not self._brought:
            self._brought.append(result)
            self._task.cancel()

    def when_ended(self, tell: Callable[[], None]) -> None:
        """Run `tell` when the flight has ended, with or without success."""
        self._task.add_done_callback(lambda _: tell())

    def result(self) -> Result | None:
        """The result, or None if there is none (yet)."""
        if not self._task.done() or self._task.cancelled() or self._task.exception() is not None:
            return None
        return self._task.result()

    async def _end(self) -> None:
        """Wait for the end. This does not use `asyncio.wait`, which needs more CPU time: each
        look-up waits here."""
        if self._task.done():
            return
        ended = asyncio.get_running_loop().create_future()

        def tell(_task: asyncio.Future[Result]) -> None:
            if not ended.done():
                ended.set_result(None)

        self._task.add_done_callback(tell)
        try:
            await ended
        finally:
            self._task.remove_done_callback(tell)


class Flights(Generic[Name, Result]):
    """The flights under way. For each name, requests can join at most one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._current: dict[Name, Flight[Result]] = {}
        self._flying: dict[Name, list[Flight[Result]]] = {}  # also flights that cannot be joined
        self._owned: set[asyncio.Future[Result]] = set()
        self.waiters = 0

    def under_way(self, name: Name) -> Flight[Result] | None:
        """The flight to join, if there is one."""
        return self._current.get(name)

    def start(
        self, name: Name, make: Callable[[Flight[Result]], Awaitable[Result]]
    ) -> Flight[Result]:
        """Start the work in a new task. The name must have no flight that requests can join."""
        flight = self._current[name] = self.start_apart(name, make)
        return flight

    def start_apart(
        self, name: Name, make: Callable[[Flight[Result]], Awaitable[Result]]
    ) -> Flight[Result]:
        """As `start`, but no request can join the flight. The name may have another flight."""
        flight = self._new(name)
        task = asyncio.create_task(self._fly(name, flight, make))
        flight._task = task
        self._owned.add(task)
        task.add_done_callback(partial(self._landed, name, flight))
        return flight

    def _new(self, name: Name) -> Flight[Result]:
        flight: Flight[Result] = Flight(spent_of_flight(self._clock))
        self._flying.setdefault(name, []).append(flight)
        return flight

    async def follow(self, flight: Flight[Result], patience: float | None = None) -> Result:
        """Join the flight, and count as one of the `waiters` during the wait."""
        self.waiters += 1
        try:
            return await flight.join(patience)
        finally:
            self.waiters -= 1

    def forget(self, name: Name, *, known: bool = False) -> None:
        """Outdate the flights of this name (see `Course`). `known`: Redis knows the invalidation
        that ruled out the results, so Redis can judge the results."""
        self._current.pop(name, None)
        for flight in self._flying.get(name, ()):
            flight.outdate(known=known)

    def forget_where(self, matches: Callable[[Name], bool], *, known: bool = False) -> None:
        """Forget each flight whose name matches."""
        for name in [name for name in self._flying if matches(name)]:
            self.forget(name, known=known)

    def retire(self, name: Name | None = None) -> None:
        """Let no further request join the flights of this name (None: of all names). Their results
        may still be stored."""
        if name is None:
            self._current.clear()
        else:
            self._current.pop(name, None)

    async def land(self, patience: float) -> None:
        """Wait for all flights, for `patience` seconds at most. Then cancel the flights that have
        not ended."""
        if self._owned:
            _, late = await asyncio.wait(self._owned, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _fly(
        self,
        name: Name,
        flight: Flight[Result],
        make: Callable[[Flight[Result]], Awaitable[Result]],
    ) -> Result:
        try:
            # The waits are noted for the flight, because the request that began it can leave.
            watch(flight.spent)
            return await make(flight)
        finally:
            self._leave(name, flight)

    def _leave(self, name: Name, flight: Flight[Result]) -> None:
        if self._current.get(name) is flight:
            del self._current[name]

    def _landed(self, name: Name, flight: Flight[Result], task: asyncio.Future[Result]) -> None:
        self._flying[name].remove(flight)
        if not self._flying[name]:
            del self._flying[name]
        self._owned.discard(task)
        self._leave(name, flight)  # a task that was cancelled before it began left nothing
        if not task.cancelled():
            task.exception()  # read the error even if no request waits for it
