"""One connection to the upstream: it sends a request, and llhttp parses the response.

If bytes come while no request is under way, the connection is aborted. Otherwise the next request,
perhaps of another caller, would get these bytes as its response.
"""

from __future__ import annotations

import asyncio
import select
from enum import Enum, auto
from typing import Any, Final

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.core.errors import InvalidPayload
from gateway.core.vocabulary import InvalidReason

# A response can have at most this many bytes in a row that belong to no body: heads, interim
# responses, and the bytes around chunks.
_LARGEST_HEAD: Final = 64 * 1024
# After a larger request than this, a connection carries no further request. The response can come
# before the last bytes of the request are sent. The next request would have to wait until these
# bytes are sent. With TLS the gateway cannot see whether bytes are still unsent.
_LARGEST_KEPT: Final = 16 * 1024
_VERSIONS: Final = ("1.0", "1.1")
_WITHOUT_BODY: Final = (204, 304)
_EMPTY: Final = (b"content-length", b"0")
_FRAMED_BY: Final = {b"content-length", b"transfer-encoding"}
# The end of a head or of a chunked body, and the same end with one more empty line.
_EMPTY_LINE: Final = b"\r\n\r\n"
_EMPTY_LINES: Final = b"\r\n\r\n\r\n"
ENDED: Final = "the connection ended without a response"


class CutShortError(Exception):
    """The head of a response came, but not its whole body."""


class _Stage(Enum):
    """How far a response has been read."""

    HEAD = auto()  # its head is not complete
    BODY = auto()  # its head is complete, its body is not
    COMPLETE = auto()


class Incoming:
    """A response that is being read.

    When `end` is done, `status`, `fields` and `body` are complete, or `end` has an exception. If
    `is_last` is true, the connection must not carry another request.
    """

    def __init__(self, max_body: int) -> None:
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.is_last = True
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._max_body = max_body
        self._parser = HttpResponseParser(self)
        self._came = self._came_since_body = 0
        self._stage = _Stage.HEAD
        self._ends_with_connection = False
        self._is_chunked = False
        self._may_have_stray_body = False
        self._last_bytes = b""
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Parse the next bytes."""
        self._came += len(data)
        self._came_since_body += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.is_last = True
            self._fail(f"{type(error).__name__} {error}")
        if self._came_since_body > _LARGEST_HEAD:
            self._fail(f"more than {_LARGEST_HEAD} bytes in a row belong to no body")
        self._tail = (self._tail + data[-len(_EMPTY_LINES) :])[-len(_EMPTY_LINES) :]
        if self._stage is _Stage.COMPLETE and not self._is_end_of_message(data):
            self.is_last = True

    def ended(self) -> None:
        """The peer sends nothing more. This completes a body without a stated length."""
        if self._stage is _Stage.BODY and self._ends_with_connection and not self.end.done():
            self.end.set_result(None)

    def lost(self, error: Exception | None) -> None:
        """The connection ended. If the response is not complete, it fails."""
        if self.end.done():
            return
        if self._came == 0 and error is not None:
            self.end.set_exception(error)
        else:
            cause = "" if error is None else f": {error}"
            self._fail(ENDED if self._came == 0 else f"the connection ended too early{cause}")

    def release(self) -> None:
        """Break the reference cycle between this object and its parser. The cycle would keep the
        body in memory until the garbage collector runs."""
        del self._parser

    def _is_end_of_message(self, data: bytes) -> bool:
        """Whether the message ends at the last byte of `data` (the bytes that came last). The
        parser does not check this: it ignores empty lines after a message."""
        if self._is_chunked or not self._last_bytes:
            return self._tail.endswith(_EMPTY_LINE) and self._tail != _EMPTY_LINES
        return data.endswith(self._last_bytes)

    def _fail(self, why: str) -> None:
        if not self.end.done():
            kind = httpx.RemoteProtocolError if self._stage is _Stage.HEAD else CutShortError
            self.end.set_exception(kind(why))

    # The parser calls the following methods.

    def on_message_begin(self) -> None:
        if self._stage is _Stage.COMPLETE:
            self.is_last = True  # another message follows this one

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage is _Stage.HEAD:
            self.fields.append((name, value.rstrip(b" \t")))  # the parser keeps spaces at the end

    def on_headers_complete(self) -> None:
        if self._stage is not _Stage.HEAD:
            return
        status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        if status < 100 or status == 101 or version not in _VERSIONS:
            self._fail(f"the gateway accepts no HTTP/{version} response with the status {status}")
        if status < 200:
            self.fields.clear()  # an interim response
            return
        framing = [
            (key, value) for name, value in self.fields if (key := name.lower()) in _FRAMED_BY
        ]
        coding = [value.lower() for name, value in framing if name == b"transfer-encoding"]
        if coding not in ([], [b"chunked"]):
            self._fail("the response is in a transfer coding that was not asked for")
        self.status, self._stage = status, _Stage.BODY
        self._is_chunked = bool(coding)
        self._ends_with_connection = not framing
        # A 204 has no body (RFC 9110, 15.3.5). If its fields announce a body, the upstream perhaps
        # sends it nevertheless. So the connection is not used again.
        self._may_have_stray_body = status == 204 and framing not in ([], [_EMPTY])
        # A 304 has no body. It can state the length of the body that a 200 would have (RFC 9110,
        # 8.6), so this length is not checked.
        if status not in _WITHOUT_BODY:
            self._check_size(int(dict(framing).get(b"content-length", b"0")))

    def on_body(self, data: bytes) -> None:
        if self._stage is _Stage.BODY and not self.end.done():
            self.body += data
            self._last_bytes = data
            self._came_since_body = 0
            self._check_size(len(self.body))

    def on_message_complete(self) -> None:
        if self._stage is not _Stage.BODY:
            return
        self._stage = _Stage.COMPLETE
        self.is_last = self._may_have_stray_body or not self._parser.should_keep_alive()
        if not self.end.done():
            self.end.set_result(None)

    def _check_size(self, size: int) -> None:
        try:
            check_size(size, self._max_body)
        except InvalidPayload as too_large:
            if not self.end.done():
                self.end.set_exception(too_large)


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time. `connections` has all open connections."""

    transport: asyncio.Transport

    def __init__(self, connections: set[Connection]) -> None:
        self._connections = connections
        self._incoming: Incoming | None = None
        self._expiry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._incoming is None or self._incoming.end.done():
            self.abort()
        else:
            self._incoming.feed(data)

    def eof_received(self) -> None:
        """With TLS, uvloop calls this only if the peer sent `close_notify`."""
        if self._incoming is not None:
            self._incoming.ended()

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._no_expiry()
        if self._incoming is not None:
            self._incoming.lost(error)

    async def send(self, message: bytes, max_body: int) -> Incoming:
        """Send a request and return the whole response.

        Raises httpx.TransportError or OSError if no valid head came, CutShortError if the body is
        not whole, and InvalidPayload if it is too large. After any exception, also a cancellation,
        the connection must not be used again.
        """
        incoming = self._incoming = Incoming(max_body)
        self.transport.write(message)
        try:
            await incoming.end
        finally:
            self._incoming = None
            incoming.release()
        if len(message) > _LARGEST_KEPT:
            incoming.is_last = True
        return incoming

    def rest(self, seconds: float) -> None:
        """Stay open and idle for `seconds`, then close."""
        self._expiry = asyncio.get_running_loop().call_later(seconds, self.close)

    def wake(self) -> bool:
        """End the idle time. Returns whether a request can be sent."""
        self._no_expiry()
        if self.is_closing():
            return False
        if _has_news(self.transport.get_extra_info("socket").fileno()):
            self.abort()
            return False
        return True

    def is_closing(self) -> bool:
        """Whether the connection is closing or closed."""
        return self not in self._connections or self.transport.is_closing()

    def close(self) -> None:
        """Close the connection, or abort it if bytes still wait to be sent."""
        if not self.is_closing() and self.transport.get_write_buffer_size():
            self.abort()  # the peer perhaps never reads the bytes
        else:
            self.transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def _no_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None


def _has_news(descriptor: int) -> bool:
    """Whether bytes, or the end of the connection, can be read."""
    asked = select.poll()
    asked.register(descriptor, select.POLLIN)
    return bool(asked.poll(0))


def check_size(size: int, most: int) -> None:
    """Raise InvalidPayload if a body of `size` bytes is larger than `most`."""
    if size > most:
        raise InvalidPayload(InvalidReason.TOO_LARGE, f"a body of more than {most} bytes")
