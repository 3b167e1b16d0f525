"""Deadlines for answers from Redis, the upstream or a caller.

Our own loop can stall (a CPU quota, a stopped process). A timer that fires after a stall says
nothing about the other side: the answer is perhaps in the socket. A deadline counts only the time
in which this process could read, and reads once more before it raises.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

# The time of a deadline is divided into this number of equal steps. If a step would be shorter than
# _SHORTEST_STEP or longer than _LONGEST_STEP (seconds), there are fewer or more steps.
_STEPS: Final = 5
_SHORTEST_STEP: Final = 0.005  # uvloop's timers have a resolution of a millisecond
_LONGEST_STEP: Final = 0.1
# After the last step, the event loop makes this number of turns before TimeoutError is raised. One
# turn reads the sockets. Three turns are for the tasks that pass the answer on: the driver's task,
# a task that callers share, and the waiting task.
_LAST_TURNS: Final = 4


class Deadline:
    """`async with Deadline(seconds):` raises TimeoutError when the block takes longer.

    A deadline is a fixed number of steps. A late step counts as one step, however long the stall
    was. So the other side loses at most one and a half steps by a stall, and stalls cannot postpone
    the end for ever.
    """

    __slots__ = ("_due", "_handle", "_left", "_loop", "_step", "_timeout")

    _handle: asyncio.Handle

    def __init__(self, seconds: float) -> None:
        """If `seconds` is not positive, the time is over at once."""
        step = min(max(seconds / _STEPS, _SHORTEST_STEP), _LONGEST_STEP)
        self._left = max(1, round(seconds / step)) if seconds > 0.0 else 0
        self._step = seconds / self._left if self._left else 0.0
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._wait()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handle.cancel()
        await self._timeout.__aexit__(kind, error, traceback)

    def _wait(self) -> None:
        if self._left == 0:
            self._let_pass(_LAST_TURNS)
            return
        self._due += self._step
        self._handle = self._loop.call_at(self._due, self._end_step)

    def _end_step(self) -> None:
        now = self._loop.time()
        if now - self._due > self._step / 2.0:
            self._due = now  # after a stall the next step has its full length
        self._left -= 1
        self._wait()

    def _let_pass(self, turns: int) -> None:
        if turns == 0:
            self._timeout.reschedule(self._loop.time())
            return
        self._handle = self._loop.call_soon(self._let_pass, turns - 1)
