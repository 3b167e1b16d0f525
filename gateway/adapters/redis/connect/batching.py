"""Keys asked for at about the same time, gathered into one question.

Lives here: the waiters of each key. How the question is put is the store's business.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from gateway.adapters.redis.connect.cluster_node import OnTheMove
from gateway.core.cache.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation

Found = TypeVar("Found")
Waiting = dict[Key, list[asyncio.Future[Found]]]

# Seconds that a question waits for the one before it, which it would follow on the heels.
_PATIENCE: Final = 0.004


class Gathering(Generic[Found]):
    """Asks `read` for up to `most` keys of one home at once: what is asked for in one turn of the
    event loop, and what comes while a question is under way, for a moment at most. Who stops
    waiting, and a question that fails, do not hurt the others."""

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
        self._waiting: dict[Hashable, Waiting[Found]] = {}
        self._asking: Counter[Hashable] = Counter()  # questions under way, by home
        self._batches: set[asyncio.Task[None]] = set()

    def ask(self, key: Key) -> asyncio.Future[Found]:
        """What is found under the key; fails with RedisUnavailable."""
        loop, home = asyncio.get_running_loop(), self._home(key)
        waiting = self._waiting.get(home)
        if waiting is None:
            waiting = self._waiting[home] = {}
            loop.call_soon(self._take_turn, home, waiting)
        answer: asyncio.Future[Found] = loop.create_future()
        waiting.setdefault(key, []).append(answer)
        return answer

    async def ask_all(self, keys: Sequence[Key]) -> dict[Key, Found]:
        """What is found under each, without those whose question failed; raises
        RedisUnavailable if all of them did."""
        answers = await asyncio.gather(*map(self.ask, keys), return_exceptions=True)
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
        """Give up what is under way: waiters are cancelled."""
        for _, answer in (each for waiting in self._waiting.values() for each in _open(waiting)):
            answer.cancel()
        self._waiting.clear()
        batches = list(self._batches)
        for batch in batches:
            batch.cancel()
        await asyncio.gather(*batches, return_exceptions=True)

    def _take_turn(self, home: Hashable, waiting: Waiting[Found]) -> None:
        if self._asking[home]:
            asyncio.get_running_loop().call_later(_PATIENCE, self._send, home, waiting)
        else:
            self._send(home, waiting)

    def _send(self, home: Hashable, waiting: Waiting[Found]) -> None:
        if self._waiting.get(home) is not waiting:
            return  # sent, when the question before it had ended
        del self._waiting[home]
        items = list(waiting.items())
        for start in range(0, len(items), self._most):
            self._asking[home] += 1
            batch = asyncio.create_task(self._answer(dict(items[start : start + self._most])))
            self._batches.add(batch)
            batch.add_done_callback(partial(self._ended, home))

    def _ended(self, home: Hashable, batch: asyncio.Task[None]) -> None:
        self._batches.discard(batch)
        self._asking[home] -= 1
        if self._asking[home] > 0:
            return
        del self._asking[home]
        if home in self._waiting:
            self._send(home, self._waiting[home])

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
