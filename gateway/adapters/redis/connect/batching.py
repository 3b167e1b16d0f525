"""Gathers questions to Redis, so that those of one turn of the event loop share a round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation

Asked = TypeVar("Asked", bound=Hashable)
Found = TypeVar("Found")
Waiting = dict[Asked, list[asyncio.Future[Found]]]


class Gathering(Generic[Asked, Found]):
    """Gathers questions, and returns the answers.

    The questions of one turn of the event loop are passed to `read`, up to `most` in one call.
    `operation` returns the operation of a question, for errors.
    """

    def __init__(
        self,
        operation: Callable[[Asked], RedisOperation],
        read: Callable[[list[Asked]], Awaitable[Mapping[Asked, Found]]],
        most: int,
    ) -> None:
        self._operation = operation
        self._read = read
        self._most = most
        self._waiting: Waiting[Asked, Found] = {}
        self._batches: set[asyncio.Task[None]] = set()  # round trips under way

    def ask(self, asked: Asked) -> asyncio.Future[Found]:
        """A future with the answer. It fails with RedisUnavailable if Redis does not answer."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        answer: asyncio.Future[Found] = loop.create_future()
        self._waiting.setdefault(asked, []).append(answer)
        return answer

    async def close(self) -> None:
        """Cancel all questions, waiting or under way."""
        for _, answer in _open(self._waiting):
            answer.cancel()
        batches = list(self._batches)
        for batch in batches:
            batch.cancel()
        await asyncio.gather(*batches, return_exceptions=True)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, {}
        items = [each for each in waiting.items() if not all(map(_is_done, each[1]))]
        for start in range(0, len(items), self._most):
            batch = asyncio.create_task(self._answer(dict(items[start : start + self._most])))
            self._batches.add(batch)
            batch.add_done_callback(self._batches.discard)

    async def _answer(self, waiting: Waiting[Asked, Found]) -> None:
        try:
            found = await self._read(list(waiting))
        except RedisUnavailable as fault:
            for asked, answer in _open(waiting):
                answer.set_exception(self._copied(asked, fault))
        except BaseException:
            for _, answer in _open(waiting):
                answer.cancel()
            raise
        else:
            for asked, answer in _open(waiting):
                answer.set_result(found[asked])

    def _copied(self, asked: Asked, fault: RedisUnavailable) -> RedisUnavailable:
        """A copy of the error for one caller, because each caller adds a traceback to its error."""
        another = RedisUnavailable(self._operation(asked), fault.why)
        another.__cause__ = fault
        return another


def _is_done(answer: asyncio.Future[Found]) -> bool:
    return answer.done()


def _open(waiting: Waiting[Asked, Found]) -> list[tuple[Asked, asyncio.Future[Found]]]:
    """The answers for which a caller still waits."""
    return [(key, each) for key, answers in waiting.items() for each in answers if not each.done()]
