"""Requests of this replica to the others, and who has answered each so far.

Lives here: counting and waiting. Nothing is sent or read.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gateway.adapters.redis.bus.messages import Acknowledgement
from gateway.ports import Deadline


class Request:
    """One request; `number` is what its answers name."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._answered: set[str] = set()
        self._came = asyncio.Event()

    def take(self, sender: str) -> None:
        """This replica has answered; answering twice counts once."""
        self._answered.add(sender)
        self._came.set()

    async def answered_by(self, replicas: frozenset[str], patience: float) -> frozenset[str]:
        """All that have answered, once these have or after so many seconds."""
        with suppress(TimeoutError):
            async with Deadline(patience):
                while not replicas <= self._answered:
                    self._came.clear()
                    await self._came.wait()
        return frozenset(self._answered)


class Requests:
    """The requests for which answers may come."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._open: dict[int, Request] = {}

    @contextmanager
    def open(self) -> Iterator[Request]:
        """A request that takes answers until the end of the `with`."""
        request = Request(next(self._numbers))
        self._open[request.number] = request
        try:
            yield request
        finally:
            del self._open[request.number]

    def take(self, answer: Acknowledgement) -> None:
        """Count the answer; nothing for what nobody waits for any more."""
        request = self._open.get(answer.request)
        if request is not None:
            request.take(answer.sender)
