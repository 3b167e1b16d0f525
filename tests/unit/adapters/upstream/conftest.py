"""Each test of this folder runs on both event loops: asyncio's, and uvloop, which the gateway uses.

They differ in what the adapter builds on: what a closed transport does with a write, when TLS tells
that it ended, which sockets are left of a connect that was cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import uvloop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each by the name that its tests get."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
