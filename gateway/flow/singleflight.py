"""One flight a key: the first caller starts it, the others join, nobody can take it down.

The only owner of background tasks. What a flight does is its maker's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from gateway.core.errors import ShuttingDown
from gateway.core.vocabulary import Part
from gateway.flow.timings import Interval, Spent, sharing, spent_by_beginner, watched
from gateway.ports import Clock

Name = TypeVar("Name", bound=Hashable)
Result = TypeVar("Result")
Asked = TypeVar("Asked")


@dataclass(slots=True, eq=False)
class Course:
    """Whether a flight still leads where it set out for.

    `is_current` turns False when the key is invalidated while it flies: its result may still
    answer those who wait for it, but must not be held here, and nobody joins it any more.
    `may_store` turns False where Redis must not be offered it either, which cannot know why;
    `orders` counts how often it was invalidated so far.
    """

    is_current: bool = field(default=True, init=False)
    may_store: bool = field(default=True, init=False)
    orders: int = field(default=0, init=False)

    def outdate(self, *, known: bool) -> None:
        """An order ruled out what it brings; `known` to Redis as well."""
        self.is_current = False
        self.may_store &= known
        self.orders += 1


@dataclass(slots=True, eq=False)
class Flight(Course, Generic[Result]):
    """Shared work in progress; what it waits for is noted in `spent`, where anybody asks.
    `is_unhurried`: nobody waited for it when it began; `is_retired`: no later request joins."""

    spent: Spent | None = field(default=None, init=False)
    is_unhurried: bool = field(default=False, init=False)
    is_retired: bool = field(default=False, init=False)

    _task: asyncio.Future[Result] = field(init=False)  # mostly a task

    async def join(self, patience: float | None = None) -> Result:
        """The flight's result or error; TimeoutError after `patience` seconds.

        Leaving early, by cancellation or for lack of patience, leaves the flight alone.
        Raises ShuttingDown where the flight itself was ended.
        """
        with sharing(self.spent):
            if patience is None:
                await self._end()
            else:
                async with asyncio.timeout(patience):
                    await self._end()
        if self._task.cancelled():
            raise ShuttingDown
        return self._task.result()

    def when_ended(self, tell: Callable[[], None]) -> None:
        """Tell once it ended, however it did; for who has no task that could wait."""
        self._task.add_done_callback(lambda _: tell())

    def result(self) -> Result | None:
        """What it brought; None where it failed, was ended, or flies on."""
        if not self._task.done() or self._task.cancelled() or self._task.exception() is not None:
            return None
        return self._task.result()

    async def _end(self) -> None:
        """What `asyncio.wait` does for one task, at a third of its cost: each look-up waits."""
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
    """The flights under way, at most one for a name; with a clock they note what they wait for."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self._current: dict[Name, Flight[Result]] = {}
        self._flying: dict[Name, list[Flight[Result]]] = {}  # those that nobody joins as well
        self._owned: set[asyncio.Future[Result]] = set()
        self.waiters = 0

    def under_way(self, name: Name) -> Flight[Result] | None:
        """The flight to join, if there is one."""
        return self._current.get(name)

    def start(
        self, name: Name, make: Callable[[Flight[Result]], Awaitable[Result]]
    ) -> Flight[Result]:
        """Start the work in a task of its own; the name must have no flight."""
        flight = self._new(name)
        self._own(name, flight, asyncio.create_task(self._fly(name, flight, make)))
        return flight

    def start_behind(
        self,
        name: Name,
        question: asyncio.Future[Asked],
        part: Part,
        finish: Callable[[Flight[Result]], Result],
    ) -> Flight[Result]:
        """Start one without a task, which waits for the question alone, as that part of its time:
        `finish` is called when that is done, and makes the result of it."""
        flight = self._new(name)
        stretch = None if flight.spent is None else flight.spent.begin(part)
        self._own(name, flight, asyncio.get_running_loop().create_future())
        question.add_done_callback(partial(self._finish, name, flight, stretch, finish))
        return flight

    def _new(self, name: Name) -> Flight[Result]:
        flight: Flight[Result] = Flight()
        flight.spent = None if self._clock is None else spent_by_beginner(self._clock)
        self._current[name] = flight
        self._flying.setdefault(name, []).append(flight)
        return flight

    def _own(self, name: Name, flight: Flight[Result], task: asyncio.Future[Result]) -> None:
        flight._task = task
        self._owned.add(task)
        task.add_done_callback(partial(self._landed, name, flight))

    def _finish(
        self,
        name: Name,
        flight: Flight[Result],
        stretch: Interval | None,
        finish: Callable[[Flight[Result]], Result],
        question: asyncio.Future[Asked],
    ) -> None:
        self._leave(name, flight)
        if flight.spent is not None and stretch is not None:
            flight.spent.end(stretch)
        ended = flight._task
        if question.cancelled():
            ended.cancel()
            return
        if ended.done():  # it was cancelled; a question that failed is not complained about
            question.exception()
            return
        try:
            result = finish(flight)
        except Exception as error:  # noqa: BLE001 -- who joined is told, as by a task
            ended.set_exception(error)
        else:
            ended.set_result(result)

    def linger(self, name: Name, flight: Flight[Result]) -> None:
        """Let what was begun in this turn of the loop join a flight that has just landed, where it
        could be joined until then, and no other one is under way."""
        is_fit = flight.is_current and not flight.is_retired and flight._task.done()
        if is_fit and self._current.setdefault(name, flight) is flight:
            flight.is_retired = True  # once
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._leave, name, flight)

    async def follow(self, flight: Flight[Result], patience: float | None = None) -> Result:
        """Join as one of several, counted while waiting."""
        self.waiters += 1
        try:
            return await flight.join(patience)
        finally:
            self.waiters -= 1

    def forget(self, name: Name, *, known: bool = False) -> None:
        """What flights of that name bring is outdated already: let nobody join, nothing be kept.

        `known`: Redis knows it as well, and so may judge what they bring.
        """
        self._current.pop(name, None)
        for flight in self._flying.get(name, ()):
            flight.outdate(known=known)

    def forget_where(self, matches: Callable[[Name], bool], *, known: bool = False) -> None:
        """Forget each flight whose name matches."""
        for name in [name for name in self._flying if matches(name)]:
            self.forget(name, known=known)

    def retire(self, name: Name | None = None) -> None:
        """Let nobody join what is under way (for that name, where given); what it brings may be
        kept where it still holds."""
        for each in list(self._current) if name is None else [name]:
            self._current.pop(each, None)
        for each in list(self._flying) if name is None else [name]:
            for flight in self._flying.get(each, ()):
                flight.is_retired = True

    async def land(self, patience: float) -> None:
        """Wait so many seconds for all flights, then cancel those left."""
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
            # Not with whoever began it, who may leave.
            with watched(flight.spent):
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
        if not task.cancelled():
            task.exception()  # seen, even when everyone who waited has left
