"""The time of the running loop, made to jump: deadlines come without being waited for.

What a test wants to have happened before a deadline, it waits for first, however long that takes
on a busy machine.
"""

from __future__ import annotations

import asyncio


def pass_time(seconds: float) -> None:
    """Every sleep and timeout of this loop is so much nearer to its end; other clocks stay."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]
