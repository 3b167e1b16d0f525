"""Connections to the upstream: the name, TCP, TLS, and the bytes of both sides.

A connect timeout counts only the time in which this process could look at its sockets.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from typing import Any, Final

import httpcore

from gateway.adapters.upstream.look_up import Address, LookUps
from gateway.ports import Deadline

# Reading pauses while so many bytes wait.
_MOST_UNREAD: Final = 256 * 1024


class Connector:
    """Connects to one server.

    host     the name that its certificate must have
    tls      None: connections are not encrypted
    timeout  seconds for DNS and the TCP connection, and as many again for TLS
    """

    def __init__(
        self, host: str, look_ups: LookUps, tls: ssl.SSLContext | None, timeout: float
    ) -> None:
        self._host = host
        self._look_ups = look_ups
        self._tls = tls
        self._timeout = timeout
        self._open: set[Stream] = set()

    async def connect(self) -> Stream:
        """Try the addresses of the host in turn. Each has an equal part of the time.

        Raises OSError or UnicodeError. TimeoutError: the connect timeout passed.
        """
        async with Deadline(self._timeout):
            *others, last = await self._look_ups.addresses()
            for address in others:
                stream = await self._tried(address, self._timeout / (len(others) + 1))
                if stream is not None:
                    return stream
            return await self._connect_to(last)

    async def secure(self, stream: Stream) -> None:
        """Begin TLS on a new connection, if it is to be encrypted. Raises OSError."""
        if self._tls is None:
            return
        try:
            async with Deadline(self._timeout):
                await stream.begin_tls(self._tls, self._host)
        except BaseException:
            stream.abort()
            raise

    def close(self) -> None:
        """Close all connections."""
        for stream in list(self._open):
            stream.abort()

    async def _tried(self, address: Address, seconds: float) -> Stream | None:
        try:
            async with Deadline(seconds):
                return await self._connect_to(address)
        except OSError:  # also TimeoutError
            return None

    async def _connect_to(self, address: Address) -> Stream:
        """No socket is left over if this fails or is cancelled."""
        loop = asyncio.get_running_loop()
        family, server = address
        connected = socket.socket(family, socket.SOCK_STREAM)
        try:
            connected.setblocking(False)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(connected, server)
        except BaseException:
            connected.close()
            raise
        _, stream = await loop.create_connection(lambda: Stream(self._open), sock=connected)
        self._look_ups.worked(address)
        return stream


class Stream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """The bytes of one connection, as httpcore reads and writes them. The parameters `timeout` are
    not used. `streams` has all open connections."""

    _transport: asyncio.Transport

    def __init__(self, streams: set[Stream]) -> None:
        self._streams = streams
        self._unread = bytearray()
        self._is_paused = False
        self._has_ended = False  # the peer sends nothing more
        self._is_lost = False
        self._error: Exception | None = None
        self._news = asyncio.Event()  # something to read, or the end
        self._writable = asyncio.Event()
        self._writable.set()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes; b"" at the end. Raises httpcore.ReadError if the connection broke."""
        while not self._unread:
            if self._has_ended:
                return b""
            if self._is_lost:
                raise httpcore.ReadError("the connection broke") from self._error
            self._news.clear()
            await self._news.wait()
        data = bytes(self._unread[:max_bytes])
        del self._unread[:max_bytes]
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send the bytes. Raises httpcore.WriteError if the connection broke."""
        if buffer and not self._is_lost:
            self._transport.write(buffer)
            await self._writable.wait()
        if self._is_lost:
            raise httpcore.WriteError("the connection broke") from self._error

    async def aclose(self) -> None:
        """As `abort`."""
        self.abort()

    def abort(self) -> None:
        """Close the connection. Bytes that were not sent yet are never sent."""
        self._transport.abort()

    async def begin_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Encrypt what follows. Raises OSError (also ssl.SSLError) if the server does not."""
        secure = await asyncio.get_running_loop().start_tls(
            self._transport, self, tls, server_hostname=host
        )
        if secure is None:
            raise ConnectionResetError("the connection ended before TLS began")
        self._transport = secure

    def get_extra_info(self, info: str) -> Any:
        """For `is_readable`: whether the connection has ended, or bytes came that nobody has
        read."""
        if info != "is_readable":
            return self._transport.get_extra_info(info)
        if self._unread or self._has_ended or self._is_lost or self._transport.is_closing():
            return True
        asked = select.poll()
        asked.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(asked.poll(0))

    # The event loop calls the following methods.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._streams.add(self)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._news.set()
        if len(self._unread) > _MOST_UNREAD and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """With TLS, uvloop calls this only if the peer sent `close_notify`."""
        self._has_ended = True
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost, self._error = True, error
        self._streams.discard(self)
        self._news.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
