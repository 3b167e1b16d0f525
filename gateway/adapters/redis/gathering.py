"""Keys asked for in one turn of the event loop, gathered into one question.

Lives here: who waits for which key. How the question is put is the store's business.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from gateway.adapters.redis.member import OnTheMove
from gateway.core.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.status import RedisOperation

Found = TypeVar("Found")
Waiting = dict[Key, list[asyncio.Future[Found]]]


class Gathering(Generic[Found]):
    """Asks `read` for up to `most` keys of one home at once; who stops waiting, and a question
    that fails, do not hurt the others."""

    def __init__(
        self,
        operation: RedisOperation,
        read: Callable[[list[Key]], Awaitable[dict[Key, Found]]],
        most: int,
        home: Callable[[Key], Hashable] = lambda _: None,
    ) -> None:
        self._operation = operation
        self._read = read
        self._most = most
        self._home = home
        self._waiting: dict[Key, list[asyncio.Future[Found]]] = {}
        self._batches: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key) -> Found:
        """What is found under the key; raises RedisUnavailable."""
        return await self._place(key)

    async def ask_all(self, keys: Sequence[Key]) -> dict[Key, Found]:
        """What is found under each, without those whose question failed; raises
        RedisUnavailable if all of them did."""
        answers = await asyncio.gather(*map(self._place, keys), return_exceptions=True)
        found: dict[Key, Found] = {}
        for key, answer in zip(keys, answers, strict=True):
            if not isinstance(answer, BaseException):
                found[key] = answer
            elif not isinstance(answer, RedisUnavailable):
                raise answer
        if keys and not found:
            raise RedisUnavailable(self._operation, "every shared question failed")
        return found

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
        homes: defaultdict[Hashable, Waiting[Found]] = defaultdict(dict)
        for key, answers in self._waiting.items():
            homes[self._home(key)][key] = answers
        self._waiting = {}
        for waiting in homes.values():
            self._send_to(list(waiting.items()))

    def _send_to(self, waiting: list[tuple[Key, list[asyncio.Future[Found]]]]) -> None:
        for start in range(0, len(waiting), self._most):
            batch = asyncio.create_task(self._answer(dict(waiting[start : start + self._most])))
            self._batches.add(batch)
            batch.add_done_callback(self._batches.discard)

    async def _answer(self, waiting: dict[Key, list[asyncio.Future[Found]]]) -> None:
        try:
            found = await self._read(list(waiting))
        except RedisUnavailable as fault:
            if isinstance(fault, OnTheMove) and len(waiting) > 1:
                await asyncio.gather(*(self._answer({each: waiting[each]}) for each in waiting))
                return
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
