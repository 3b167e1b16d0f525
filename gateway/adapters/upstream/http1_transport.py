"""Sends each `httpx.Request` to one origin (server), over HTTP/1.1 connections that stay open."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any, Final

import httpx
from aiohappyeyeballs import start_connection

from gateway.adapters.upstream.http1_connection import ENDED, Connection
from gateway.core.errors import UpstreamFailure, UpstreamTimeout, UpstreamUnreachable
from gateway.core.http.fields import is_name, is_sound
from gateway.core.vocabulary import FailureReason
from gateway.ports import Deadline

# Seconds until another address of the host is tried as well (RFC 8305).
_NEXT_ADDRESS_AFTER: Final = 0.25
# Seconds to wait for the upstream's `close_notify`.
_CLOSING: Final = 1.0


class Http1Transport(httpx.AsyncBaseTransport):
    """Sends requests to the origin `url`. A request carries its Exchange as the extension
    `exchange`.

    connect_timeout  seconds for DNS and the TCP connection, and as many again for TLS
    kept             how many idle connections may stay open
    kept_seconds     how long each of them stays open
    """

    def __init__(
        self,
        url: httpx.URL,
        tls: ssl.SSLContext,
        *,
        connect_timeout: float,
        kept: int,
        kept_seconds: float,
    ) -> None:
        self._host = url.raw_host
        self._port = url.port or (443 if url.scheme == "https" else 80)
        tls.set_alpn_protocols(["http/1.1"])
        self._tls: dict[str, Any] = {}
        if url.scheme == "https":
            host = url.raw_host.decode("ascii")
            self._tls = {"ssl": tls, "server_hostname": host, "ssl_shutdown_timeout": _CLOSING}
        self._connect_timeout = connect_timeout
        self._kept = kept
        self._kept_seconds = kept_seconds
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._connecting: set[asyncio.Task[Connection]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The whole response. Raises the errors of `Connection.send`.

        If `Exchange.sent` is false, nothing was sent. The error is then httpx.LocalProtocolError,
        the error of `before_send`, or an error of the connection (httpx.ConnectTimeout, OSError).
        """
        exchange: Exchange = request.extensions["exchange"]
        message = _message(request)
        connection = await self._ready(exchange)
        while exchange.is_kept and connection.is_closing():  # it ended during `before_send`
            connection = await self._ready(exchange)
        if connection.is_closing():
            raise ConnectionResetError("the connection ended before the request was sent")
        exchange.phase = Phase.SENT
        try:
            response = await connection.send(message, exchange.max_body)
        except BaseException:
            connection.abort()
            raise
        if response.is_last or exchange.is_retry:
            connection.close()
        else:
            self._keep(connection)
        stream = httpx.ByteStream(bytes(response.body))
        return httpx.Response(response.status, headers=response.fields, stream=stream)

    async def _ready(self, exchange: Exchange) -> Connection:
        """A connection for the request. `before_send` has returned, so the request can be sent at
        once."""
        connection = None if exchange.is_retry else self._take()
        exchange.is_kept = connection is not None
        if connection is None:
            connection = await self.connect(exchange)
        if exchange.before_send is not None:
            phase, exchange.phase = exchange.phase, Phase.QUEUED
            try:
                await exchange.before_send()
            except BaseException:
                self._keep(connection)
                raise
            exchange.phase = phase
        return connection

    async def connect(self, exchange: Exchange) -> Connection:
        """A new connection, with TLS if the origin is https.

        If this call is cancelled, the attempt still goes on to its end, and its connection is then
        closed. The event loop would leave the socket of a cancelled attempt open.
        """
        connecting = asyncio.create_task(self._connect(exchange))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(_close)
            raise

    async def _connect(self, exchange: Exchange) -> Connection:
        loop = asyncio.get_running_loop()
        exchange.phase = Phase.CONNECTING
        try:
            async with Deadline(self._connect_timeout):
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                connected = await start_connection(
                    found, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER, loop=loop
                )
            if self._tls:
                exchange.phase = Phase.SECURING
            async with Deadline(self._connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._open), sock=connected, **self._tls
                )
        except TimeoutError as late:
            raise httpx.ConnectTimeout("connecting took too long") from late
        return connection

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.wake():
                return connection
        return None

    def _keep(self, connection: Connection) -> None:
        if len(self._idle) >= self._kept:
            self._idle.popleft().close()
        connection.rest(self._kept_seconds)
        self._idle.append(connection)

    async def aclose(self) -> None:
        """Close all connections, also those on which a response is awaited."""
        if self._connecting:
            await asyncio.wait(self._connecting)
        for connection in list(self._open):
            connection.abort()
        self._idle.clear()


def _close(connecting: asyncio.Task[Connection]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()


def _message(request: httpx.Request) -> bytes:
    """The bytes of the request. Raises LocalProtocolError if the request is not valid. The text of
    the error quotes nothing of the request."""
    fields = request.headers.raw
    target = request.url.raw_path
    if b" " in target or not is_sound(target):
        raise httpx.LocalProtocolError("the request target is not valid")
    for name, value in fields:
        if not is_name(name.lower()) or not is_sound(value):
            raise httpx.LocalProtocolError("a request field is not valid")
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target)]
    lines += [b"%b: %b" % field for field in fields]
    return b"\r\n".join((*lines, b"", request.content))


class Phase(IntEnum):
    """How far a request has come."""

    QUEUED = 0
    CONNECTING = 1
    SECURING = 2
    SENT = 3


_LATE = {
    Phase.QUEUED: FailureReason.POOL_TIMEOUT,
    Phase.CONNECTING: FailureReason.CONNECT_TIMEOUT,
    Phase.SECURING: FailureReason.CONNECT_TIMEOUT,
}


class Exchange:
    """One request that is under way: how far it has come, and what its failure means."""

    def __init__(self, request: httpx.Request, max_body: int) -> None:
        self.request = request
        self.max_body = max_body
        self.what = f"{request.method} {request.url}"
        self.phase = Phase.QUEUED
        self.is_retry = False  # needs a new connection
        self.is_kept = False  # sent on a connection of an earlier request
        self.before_send: Callable[[], Awaitable[None]] | None = None  # see Call

    @property
    def sent(self) -> bool:
        """Whether bytes of the request were perhaps sent."""
        return self.phase >= Phase.SENT

    def late(self) -> UpstreamTimeout:
        """The error if the deadline passes now."""
        reason = _LATE.get(self.phase, FailureReason.READ_TIMEOUT)
        what = f"{self.what}: no whole answer in time"
        return UpstreamTimeout(what, reason, sent=self.sent)

    def failure(self, error: Exception) -> UpstreamFailure:
        """The gateway's error for `error`, which came before the head of the response was
        complete."""
        if isinstance(error, httpx.TimeoutException):
            return self.late()
        reason = FailureReason.PROTOCOL if self.sent else FailureReason.CONNECT
        if self.phase is Phase.SECURING:
            reason = FailureReason.TLS
        what, was_kept = f"{self.what}: {told(error)}", self.is_kept and _has_ended(error)
        return UpstreamUnreachable(what, reason, sent=self.sent, was_kept=self.sent and was_kept)


def _has_ended(error: Exception) -> bool:
    """Whether the error says that the connection was closed or reset."""
    if isinstance(error, httpx.RemoteProtocolError):
        return str(error) == ENDED
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ConnectionError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def told(error: Exception) -> str:
    """The error in at most 200 characters."""
    return f"{type(error).__name__} {error}"[:200]
