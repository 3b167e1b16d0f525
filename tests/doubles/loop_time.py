"""The time of the running loop, made to jump: deadlines come without being waited for.

What a test wants to have happened before a deadline, it waits for first, however long that takes
on a busy machine.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

_passed: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()


def pass_time(seconds: float) -> None:
    """Every sleep and timeout of this loop is so much nearer to its end; other clocks stay."""
    loop = asyncio.get_running_loop()
    if loop not in _passed:
        _let_jump(loop)
    _passed[loop] += seconds


def _let_jump(loop: asyncio.AbstractEventLoop) -> None:
    """Once a loop, however often its time jumps: each layer would lie upon the one before."""
    true_time = type(loop).time
    _passed[loop] = 0.0
    loop.time = lambda: true_time(loop) + _passed[loop]  # type: ignore[method-assign]
