"""Gathers questions to Redis, so that those of one turn of the event loop share a round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation

Asked = TypeVar("Asked")
Found = TypeVar("Found")
Waiting = list[tuple[Asked, asyncio.Future[Found]]]


class Gathering(Generic[Asked, Found]):
    """Gathers questions, and returns the answers.

    The questions of one turn of the event loop are passed to `read`, up to `most` in one call. It
    returns the answers in the same order. `operation` returns the operation of a question, for
    errors.
    """

    def __init__(
        self,
        operation: Callable[[Asked], RedisOperation],
        read: Callable[[list[Asked]], Awaitable[Sequence[Found]]],
        most: int,
    ) -> None:
        self._operation = operation
        self._read = read
        self._most = most
        self._waiting: Waiting[Asked, Found] = []
        self._batches: set[asyncio.Task[None]] = set()  # round trips under way

    def ask(self, asked: Asked) -> asyncio.Future[Found]:
        """A future with the answer. It fails with RedisUnavailable if Redis does not answer."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        answer: asyncio.Future[Found] = loop.create_future()
        self._waiting.append((asked, answer))
        return answer

    async def close(self) -> None:
        """Cancel all questions, waiting or under way."""
        for _, answer in self._waiting:
            answer.cancel()
        batches = list(self._batches)
        for batch in batches:
            batch.cancel()
        await asyncio.gather(*batches, return_exceptions=True)

    def _send(self) -> None:
        waiting, self._waiting = _open(self._waiting), []
        for start in range(0, len(waiting), self._most):
            batch = asyncio.create_task(self._answer(waiting[start : start + self._most]))
            self._batches.add(batch)
            batch.add_done_callback(self._batches.discard)

    async def _answer(self, waiting: Waiting[Asked, Found]) -> None:
        try:
            found = await self._read([asked for asked, _ in waiting])
        except RedisUnavailable as fault:
            for asked, answer in _open(waiting):
                # Each caller gets its own error, because it adds a traceback to it.
                own = RedisUnavailable(self._operation(asked), fault.why)
                own.__cause__ = fault
                answer.set_exception(own)
        except BaseException:
            for _, answer in waiting:
                answer.cancel()
            raise
        else:
            for (_, answer), each in zip(waiting, found, strict=True):
                if not answer.done():
                    answer.set_result(each)


def _open(waiting: Waiting[Asked, Found]) -> Waiting[Asked, Found]:
    """The questions whose callers still wait."""
    return [each for each in waiting if not each[1].done()]
