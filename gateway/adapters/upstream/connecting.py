"""Connecting to the upstream within a Deadline of ours.

httpx's own limit for connecting is a timer, which takes a stall of this process for the upstream's.
Its transport lets nobody choose how it connects, so that the backend of its pool is wrapped.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import httpx

from gateway.ports import Deadline

T = TypeVar("T")


def connect_within(transport: httpx.AsyncHTTPTransport, seconds: float) -> None:
    """Let TCP take so long from now on, and TLS as long again; httpx.ConnectTimeout beyond."""
    pool: Any = transport._pool
    pool._network_backend = _Backend(pool._network_backend, seconds)


class _Wrapped:
    """What is not said here is as it was."""

    def __init__(self, inner: Any, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def _within(self, connecting: Awaitable[T]) -> T:
        try:
            async with Deadline(self._seconds):
                return await connecting
        except TimeoutError as late:
            raise httpx.ConnectTimeout("connecting took too long") from late


class _Backend(_Wrapped):
    async def connect_tcp(self, *where: Any, **options: Any) -> Any:
        connecting = self._inner.connect_tcp(*where, **options)
        return _Stream(await self._within(connecting), self._seconds)


class _Stream(_Wrapped):
    async def start_tls(self, *how: Any, **options: Any) -> Any:
        try:
            return await self._within(self._inner.start_tls(*how, **options))
        except BaseException:
            await self._inner.aclose()  # httpcore does so after errors, and its own timer, alone
            raise
