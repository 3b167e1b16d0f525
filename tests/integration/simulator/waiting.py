"""Waiting in tests for what another task or process is about to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_STEP = 0.01
_PATIENCE = 30.0


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as the condition holds; fail after half a minute."""
    async with asyncio.timeout(_PATIENCE):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(_STEP)
