"""The time of the running loop, made to go faster: deadlines come without being waited for.

What a test wants to have happened before a deadline, it waits for first, however long that takes
on a busy machine.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

# Seconds by which the time goes on in one turn of the loop: less than a late step of a Deadline.
_PER_TURN = 0.02

_passed: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()


async def pass_time(seconds: float) -> None:
    """Every sleep and timeout of this loop is so much nearer to its end; other clocks stay.

    The time passes while the loop turns, a little in each turn, so that the loop looks at its
    sockets all the while.
    """
    loop = _loop_that_jumps()
    until = _passed[loop] + seconds
    while _passed[loop] < until:
        _passed[loop] = min(_passed[loop] + _PER_TURN, until)
        await asyncio.sleep(0)


def stall(seconds: float) -> None:
    """So much time passes at once: the loop did not look at its sockets meanwhile."""
    _passed[_loop_that_jumps()] += seconds


def _loop_that_jumps() -> asyncio.AbstractEventLoop:
    """The running loop; prepared once, however often its time jumps."""
    loop = asyncio.get_running_loop()
    if loop not in _passed:
        true_time = type(loop).time
        _passed[loop] = 0.0
        loop.time = lambda: true_time(loop) + _passed[loop]  # type: ignore[method-assign]
    return loop
