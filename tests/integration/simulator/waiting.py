"""Waiting in tests for what another task or process is about to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_STEP = 0.01
_STEPS = 500


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as the condition holds; fail after about five seconds."""
    for _ in range(_STEPS):
        if await holds():
            return
        await asyncio.sleep(_STEP)
    raise AssertionError("what was waited for did not happen")
