"""An Upstream that answers as scripted, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from gateway.core.http.fields import Reply
from gateway.ports import Call

Answer = Reply | Exception
Maker = Callable[[Call], Awaitable[Reply]]


class ScriptedUpstream:
    """Gives the answers of `script` in turn, then `always` again and again."""

    def __init__(self, *script: Answer | Maker, always: Answer | Maker | None = None) -> None:
        self._script: deque[Answer | Maker] = deque(script)
        self._open = asyncio.Event()
        self._open.set()
        self.always = always
        self.connect: Callable[[], Awaitable[None]] | None = None  # what calls wait for, unsent
        self.calls: list[Call] = []
        self.inflight = 0

    @property
    def count(self) -> int:
        """How many calls were made."""
        return len(self.calls)

    def then(self, *script: Answer | Maker) -> None:
        """What comes after that."""
        self._script.extend(script)

    def hold(self) -> None:
        """Let calls wait, those that begin from now on, until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Let the waiting calls be answered."""
        self._open.set()

    async def call(self, call: Call) -> Reply:
        if self.connect is not None:
            await self.connect()
        if call.before_send is not None:
            await call.before_send()
        self.calls.append(call)
        answer = self._script.popleft() if self._script else self.always
        if answer is None:
            raise AssertionError(f"call {self.count} was not expected: {call}")
        self.inflight += 1
        try:
            await self._open.wait()
        finally:
            self.inflight -= 1
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Reply) else await answer(call)
