"""Keys asked for in one turn of the event loop, gathered into one question.

Lives here: who waits for which key. How the question is put is the store's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from gateway.core.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.status import RedisOperation

Found = TypeVar("Found")


class Gathering(Generic[Found]):
    """Asks `read` for up to `most` keys at once; who stops waiting does not hurt the others."""

    def __init__(
        self,
        operation: RedisOperation,
        read: Callable[[list[Key]], Awaitable[dict[Key, Found]]],
        most: int,
    ) -> None:
        self._operation = operation
        self._read = read
        self._most = most
        self._waiting: dict[Key, list[asyncio.Future[Found]]] = {}
        self._batches: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key) -> Found:
        """What is found under the key; raises RedisUnavailable."""
        return await self._place(key)

    async def ask_all(self, keys: Sequence[Key]) -> dict[Key, Found]:
        """What is found under each; raises RedisUnavailable if one question failed."""
        found = await asyncio.gather(*map(self._place, keys))
        return dict(zip(keys, found, strict=True))

    async def close(self) -> None:
        """Give up what is under way: who still waits is cancelled."""
        batches = list(self._batches)
        for batch in batches:
            batch.cancel()
        await asyncio.gather(*batches, return_exceptions=True)

    def _place(self, key: Key) -> asyncio.Future[Found]:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        answer: asyncio.Future[Found] = loop.create_future()
        self._waiting.setdefault(key, []).append(answer)
        return answer

    def _send(self) -> None:
        waiting, self._waiting = list(self._waiting.items()), {}
        for start in range(0, len(waiting), self._most):
            batch = asyncio.create_task(self._answer(dict(waiting[start : start + self._most])))
            self._batches.add(batch)
            batch.add_done_callback(self._batches.discard)

    async def _answer(self, waiting: dict[Key, list[asyncio.Future[Found]]]) -> None:
        try:
            found = await self._read(list(waiting))
        except RedisUnavailable as fault:
            for _, answer in _open(waiting):
                answer.set_exception(self._again(fault))
        except BaseException:
            for _, answer in _open(waiting):
                answer.cancel()
            raise
        else:
            for key, answer in _open(waiting):
                answer.set_result(found[key])

    def _again(self, fault: RedisUnavailable) -> RedisUnavailable:
        """The same fault for another waiter: a traceback belongs to one of them."""
        another = RedisUnavailable(self._operation, "the shared question failed")
        another.__cause__ = fault
        return another


def _open(
    waiting: dict[Key, list[asyncio.Future[Found]]],
) -> list[tuple[Key, asyncio.Future[Found]]]:
    """The answers that somebody still waits for."""
    return [(key, each) for key, answers in waiting.items() for each in answers if not each.done()]
