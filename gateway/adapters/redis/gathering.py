"""Look-ups of one turn of the event loop, gathered into one question.

Lives here: who waits for which key. How the question is put is the store's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.core.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.status import RedisOperation
from gateway.ports import Found

# Keys in one question: a reply with this many bodies still fits into the patience.
_BATCH = 200

_Answer = asyncio.Future[Found]


class Gathering:
    """Asks `read` for many keys at once; one who stops waiting does not hurt the others."""

    def __init__(self, read: Callable[[list[Key]], Awaitable[dict[Key, Found]]]) -> None:
        self._read = read
        self._waiting: dict[Key, list[_Answer]] = {}
        self._batches: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key) -> Found:
        """What is found under the key; raises RedisUnavailable."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        answer: _Answer = loop.create_future()
        self._waiting.setdefault(key, []).append(answer)
        return await answer

    async def close(self) -> None:
        """Give up what is under way: who still waits is cancelled."""
        batches = list(self._batches)
        for batch in batches:
            batch.cancel()
        await asyncio.gather(*batches, return_exceptions=True)

    def _send(self) -> None:
        waiting, self._waiting = list(self._waiting.items()), {}
        for start in range(0, len(waiting), _BATCH):
            batch = asyncio.create_task(self._answer(dict(waiting[start : start + _BATCH])))
            self._batches.add(batch)
            batch.add_done_callback(self._batches.discard)

    async def _answer(self, waiting: dict[Key, list[_Answer]]) -> None:
        try:
            found = await self._read(list(waiting))
        except RedisUnavailable as fault:
            for _, answer in _open(waiting):
                answer.set_exception(_again(fault))
        except BaseException:
            for _, answer in _open(waiting):
                answer.cancel()
            raise
        else:
            for key, answer in _open(waiting):
                answer.set_result(found[key])


def _open(waiting: dict[Key, list[_Answer]]) -> list[tuple[Key, _Answer]]:
    """The answers that somebody still waits for."""
    return [(key, each) for key, answers in waiting.items() for each in answers if not each.done()]


def _again(fault: RedisUnavailable) -> RedisUnavailable:
    """The same fault for another waiter: a traceback belongs to one of them."""
    another = RedisUnavailable(RedisOperation.LOOKUP, "the shared look-up failed")
    another.__cause__ = fault
    return another
