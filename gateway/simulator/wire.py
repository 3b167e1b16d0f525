"""How an answer is sent, correctly or not.

uvicorn sends only correct HTTP, so some faults write to the connection's transport, or close it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.simulator.faults import Fault, FaultMode

_EXTENSION = "simulator.transport"
_NO_LINGERING = struct.pack("ii", 1, 0)


class Answer(Protocol):
    """An answer that writes itself to the client. If `status_code` is None, it writes nothing."""

    @property
    def status_code(self) -> int | None: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class TransportProtocol(HttpToolsProtocol):
    """uvicorn's protocol for a connection. It also gives the connection's transport to the
    application."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"transport": self.transport}}


async def pause(seconds: float | None, receive: Receive) -> bool:
    """Wait `seconds` (`None`: for ever). Returns `False` as soon as the client has left."""
    if seconds == 0:
        return True
    try:
        async with asyncio.timeout(seconds):
            await _departure(receive)
    except TimeoutError:
        return True
    return False


async def hold(lifted: asyncio.Event, receive: Receive) -> bool:
    """Wait until the event is set. Returns `False` if the client leaves before that."""
    waiting = asyncio.create_task(lifted.wait())
    leaving = asyncio.create_task(_departure(receive))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        leaving.cancel()
        await asyncio.gather(waiting, leaving, return_exceptions=True)
    return lifted.is_set()


def delivered(fault: Fault | None, answer: Response) -> Answer:
    """An answer that writes itself as the fault requires."""
    if fault is None:
        return answer
    match fault.mode:
        case FaultMode.HANG:
            return _Hanging(fault.delay)
        case FaultMode.RESET:
            return _Reset()
        case FaultMode.LATE:
            return _Late(answer, fault.own_delay)
        case FaultMode.HANG_UP:
            return _HangingUp(answer, fault.own_delay)
        case FaultMode.DRIBBLE:
            return _Dribbling(answer, fault.own_delay)
        case FaultMode.CUT_BODY:
            return _Cut(answer, has_length=True)
        case FaultMode.CUT_CHUNKED:
            return _Cut(answer, has_length=False)
        case FaultMode.CUT_NO_LENGTH:
            return _Unframed(answer)
        case _:
            return answer


class _Hanging:
    """Never answers, and closes the connection after `seconds` (None: never)."""

    status_code = None

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await pause(self._seconds, receive)
        await _close(scope, receive)


class _Reset:
    """Resets the connection, and sends no answer. With a linger time of 0, closing the socket sends
    a RST."""

    status_code = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = _transport(scope)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        transport.abort()
        await _departure(receive)


class _Late:
    """Sends the answer `seconds` after it was made."""

    def __init__(self, answer: Response, seconds: float) -> None:
        self.status_code = answer.status_code
        self._answer = answer
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await pause(self._seconds, receive):
            await self._answer(scope, receive, send)


class _HangingUp:
    """Sends the answer, and aborts the connection `seconds` later, perhaps while the next request
    arrives."""

    def __init__(self, answer: Response, seconds: float) -> None:
        self.status_code = answer.status_code
        self._answer = answer
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope, receive, send)
        # `abort`, because after `close` uvicorn could still answer the next request.
        asyncio.get_running_loop().call_later(self._seconds, _transport(scope).abort)


class _Dribbling:
    """Sends the body of the answer one byte at a time."""

    def __init__(self, answer: Response, seconds_per_byte: float) -> None:
        self.status_code = answer.status_code
        self._answer = answer
        self._seconds = seconds_per_byte

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(_start(self._answer, has_length=True))
        for byte in bytes(self._answer.body):
            await send(_part(bytes((byte,))))
            if not await pause(self._seconds, receive):
                return
        await send({"type": "http.response.body"})


class _Cut:
    """Sends half of the body, and closes the connection. The client can see the cut: the
    `Content-Length` is that of the whole body, or the last chunk is missing."""

    def __init__(self, answer: Response, *, has_length: bool) -> None:
        self.status_code = answer.status_code
        self._answer = answer
        self._has_length = has_length

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(_start(self._answer, has_length=self._has_length))
        await send(_part(_half(self._answer)))
        await _close(scope, receive)


class _Unframed:
    """Sends half of the body, without `Content-Length` or chunks, and closes the connection. The
    client cannot see the cut."""

    def __init__(self, answer: Response) -> None:
        self.status_code = answer.status_code
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lines = [f"HTTP/1.1 {self.status_code} OK".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in _headers(self._answer, has_length=False)]
        _transport(scope).write(b"\r\n".join([*lines, b"", _half(self._answer)]))
        await _close(scope, receive)


def _start(answer: Response, *, has_length: bool) -> dict[str, object]:
    headers = _headers(answer, has_length=has_length)
    return {"type": "http.response.start", "status": answer.status_code, "headers": headers}


def _part(body: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": True}


def _headers(answer: Response, *, has_length: bool) -> list[tuple[bytes, bytes]]:
    return [pair for pair in answer.raw_headers if has_length or pair[0] != b"content-length"]


def _half(answer: Response) -> bytes:
    body = bytes(answer.body)
    return body[: len(body) // 2]


def _transport(scope: Scope) -> asyncio.Transport:
    transport: asyncio.Transport = scope["extensions"][_EXTENSION]["transport"]
    return transport


async def _close(scope: Scope, receive: Receive) -> None:
    _transport(scope).close()
    # Without this wait, uvicorn logs an error about an unfinished answer.
    await _departure(receive)


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
