"""The connections of callers and operators, as a protocol for uvicorn.

No request has a timer. Instead, the server calls `look` of each connection once a second. `look`
closes the connection if its caller is too slow. Time is counted in looks: a look that comes late,
because this process was stalled, counts once. The system itself ends the connection of a caller
that reads nothing (see `Server.startup`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Self

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.core.http.fields import first
from gateway.core.instant import from_seconds, to_http_date
from gateway.core.vocabulary import AccessRefusal
from gateway.ports import Clock, RefusedRequest
from gateway.web.wire.lingering_close import LingeringClose
from gateway.web.wire.request_head import (
    Fields,
    Limits,
    Refusal,
    fault_of,
    large_head,
    long_body,
    malformed,
    no_room,
    relative,
    request_id_of,
    size_of,
    slow_head,
)

# The most requests on one connection that wait for an earlier response.
_MOST_WAITING: Final = 64
# The most bytes on the wire for one byte of a body: a chunk with one byte takes six.
_FRAMING: Final = 6
# Before an idle connection is closed, the event loop makes this many more turns. In these turns a
# request that already waits in the socket is still read.
_LAST_TURNS: Final = 2
_END: Final = b"\r\n\r\n"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """The values that are the same for all connections of a plane.

    refused   counts and logs a refusal
    draining  set when the plane begins to drain. New connections then drain from their start
    """

    limits: Limits
    clock: Clock
    new_id: Callable[[], str]
    refused: Callable[[AccessRefusal, RefusedRequest], None]
    draining: asyncio.Event = field(default_factory=asyncio.Event)


class Wire(HttpToolsProtocol):
    """One connection. uvicorn's `cycle` is the newest request, `pipeline` has the waiting ones."""

    terms: Terms

    @classmethod
    def under(cls, terms: Terms) -> type[Self]:
        """The class of one plane's connections, for uvicorn's parameter `http=`."""
        return type(cls.__name__, (cls,), {"terms": terms})

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection. If there are more than `max_connections`, answer 503. If there are
        over a tenth more, abort without an answer."""
        self._stage = Stage.REST
        # How many bytes have come since the current message began. Of the data in which the message
        # began, only the bytes after the last empty line count.
        self._raw = 0
        self._earlier = 0  # how many bytes of `_raw` perhaps belong to the previous body
        self._owed_body = 0  # the missing bytes of the body after a head with `Upgrade`
        self._begun = False  # whether a message began in the newest data
        self._body_here = 0  # how many bytes of the newest data are part of the newest body
        self._fault: Refusal | None = None
        self._deaf = False  # whether all further bytes are dropped
        # For how many looks the caller has owed its first request, or the rest of a message that it
        # began. None: the caller owes neither.
        self._owed: int | None = 0
        self._outlet = LingeringClose(transport)
        self._is_draining = self.terms.draining.is_set()
        self._started: RequestResponseCycle | None = None  # the last request that was started
        super().connection_made(transport)
        room = self.terms.limits.max_connections
        over = len(self.connections) - room
        if over > max(1, room // 10):
            self._note_refusal(AccessRefusal.TOO_MANY_CONNECTIONS)
            self._deaf = True
            transport.abort()
        elif over > 0:
            self._refuse(no_room())

    def data_received(self, data: bytes) -> None:
        """Give the bytes to the parser. Refuse a message that is invalid or too long."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._raw += len(data)
        self._begun, self._body_here, was_at_rest = False, 0, self._stage is Stage.REST
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            if self._fault is None and isinstance(error, httptools.HttpParserCallbackError):
                _logger.warning(
                    "a callback of the HTTP parser failed; the request is refused", exc_info=error
                )
            self._refuse(self._fault or malformed("the request is not valid HTTP/1.1 or HTTP/1.0"))
            return
        # False: the data was only an empty line between two messages.
        had_message = self._begun or not was_at_rest
        if self._stage is Stage.REST and had_message:
            self._raw = 0
        else:
            self._await_more(data)

    def look(self) -> None:
        """Close the connection if its caller is too slow, or if its linger time is over (see
        `LingeringClose`).

        A caller has `head_timeout` to send its first request, or the rest of a message that it
        began. While a response is awaited, this limit applies to a head, but not to a body.
        """
        if self._outlet.is_overdue():
            self.transport.abort()
        elif self._owed is not None:
            if self.flow.read_paused:
                self._owed = 0  # bytes may wait in the socket
            elif self._owed >= self.terms.limits.head_timeout:
                self._give_up()
            else:
                self._owed += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the awaited requests. `TimeoutError`: the caller read nothing for too long."""
        if isinstance(exc, TimeoutError):
            self._note_refusal(AccessRefusal.READER_TOO_SLOW)
        super().connection_lost(exc)
        # After a reset, uvicorn does not cancel its idle timer. The timer would keep this object in
        # memory for `idle_timeout`.
        self._unset_keepalive_if_required()
        # uvicorn reports the loss only to the newest request, which has perhaps not started. Here
        # the request that was started last gets this report too.
        if self._started is not None:
            self._started.disconnected = True
            self._started.message_event.set()

    def timeout_keep_alive_handler(self) -> None:
        """Close the idle connection after `_LAST_TURNS` turns, if no request comes in them."""
        self.timeout_keep_alive_task = self.loop.call_later(0.0, self._close_idle, _LAST_TURNS)

    def _close_idle(self, turns: int) -> None:
        if turns == 0:
            super().timeout_keep_alive_handler()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(0.0, self._close_idle, turns - 1)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Refuse a request that is neither complete nor answered.

        Returns whether the connection stays open for a response.
        """
        self._outlet.peer_has_ended = True
        in_body = self._stage is Stage.BODY and self._is_answering()
        if not self._deaf and (in_body or self._stage is Stage.HEAD):
            self._refuse(malformed("the request ended before it was complete"))
        if self._outlet.is_closed or not self._is_answering():
            return False
        self.cycle.keep_alive = False
        # With TLS, asyncio closes the connection in any case, so the result is False.
        return self.transport.can_write_eof()

    def drain(self) -> None:
        """Let the response to the newest request be the last one. It announces the close in its
        head. The caller has to send later requests again (RFC 9112, 9.6).

        If that response has begun, or none is awaited, the response to the next request is the last
        one.
        """
        self._is_draining = True
        if self._is_answering() and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """As `drain`. Also close an idle connection. If the response to the newest request is not
        complete, close after this response, even if it has begun."""
        self.drain()
        if self._is_answering():
            self.cycle.keep_alive = False
        elif self.is_idle:
            self._close()

    @property
    def is_idle(self) -> bool:
        """Whether the connection is open, no response is awaited, and no new head has begun. The
        last request's body is perhaps incomplete."""
        at_rest = self._stage in (Stage.REST, Stage.BODY)
        return at_rest and not (self._deaf or self._is_answering() or self.transport.is_closing())

    @property
    def is_new(self) -> bool:
        """Whether the connection is idle, but the caller owes its first request, or the rest of the
        body of an answered request."""
        return self.is_idle and self._owed is not None

    def _feed(self, data: bytes) -> None:
        """Give the bytes to the parser. It stops after a head with `Upgrade`, a field that the
        gateway ignores (RFC 9110, 7.8). Then this method reads the body itself."""
        while data:
            if self._owed_body:
                data = self._take_body(data)
                continue
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            else:
                return

    def _take_body(self, data: bytes) -> bytes:
        body = data[: self._owed_body]
        self._owed_body -= len(body)
        self.on_body(body)
        if not self._owed_body:
            self.on_message_complete()
        return data[len(body) :]

    def _await_more(self, data: bytes) -> None:
        limits, in_body = self.terms.limits, self._stage is Stage.BODY
        if self._owed is None:
            self._owed = 0
        if self._stage is Stage.REST:
            self._raw = 0  # an empty line before a request (RFC 9112, 2.2)
        elif self._begun:
            self._raw = len(data) - (data.rfind(_END) + len(_END) if _END in data else 0)
            self._earlier = min(self._raw, self._body_here)
        if in_body:
            if self._raw > limits.max_head + limits.max_body * _FRAMING:
                self._refuse(long_body(limits))
        elif self._raw - self._earlier > limits.max_head:
            self._refuse(large_head(limits))

    def _give_up(self) -> None:
        if self._stage is Stage.HEAD:
            self._refuse(slow_head(self.terms.limits))
        elif not self._is_answering():
            self._close()

    def _close(self) -> None:
        """Close an idle connection. Between two messages, close it `_LAST_TURNS` turns later,
        because a request may already wait in the socket."""
        if self._stage is Stage.REST:
            self._unset_keepalive_if_required()  # it would close the connection later, in a request
            self.timeout_keep_alive_handler()
        else:
            self.transport.close()

    # ---- the parser's callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._stage = Stage.HEAD
        self._begun = True

    def on_headers_complete(self) -> None:
        """Make a request object from the head. If the head is invalid, stop the parser instead."""
        self._fault = self._judge()
        if self._fault is not None:
            raise _Refused
        if self.parser.should_upgrade():
            self._owed_body = int(first(self.headers, b"content-length") or b"0")
        super().on_headers_complete()
        self.cycle.transport = self._outlet
        if self._is_draining:
            self.cycle.keep_alive = False
        self._stage = Stage.BODY
        self._body = self._body_here = 0
        # Without this, trailers (fields after the body) would be added to the checked fields.
        self.headers = _NO_TRAILERS

    def on_body(self, body: bytes) -> None:
        """If the body is too long, stop the parser."""
        self._body += len(body)
        self._body_here += len(body)
        if self._body > self.terms.limits.max_body:
            self._fault = long_body(self.terms.limits)
            raise _Refused
        super().on_body(body)

    def on_message_complete(self) -> None:
        """After a head with `Upgrade`, do nothing until `_feed` has read the body."""
        if self._owed_body:
            return
        super().on_message_complete()
        self._stage = Stage.REST
        self._owed = None

    def on_response_complete(self) -> None:
        """Start the next request. If this response closed the connection, drop all further bytes
        instead."""
        if not self._outlet.is_closed:
            super().on_response_complete()
            return
        self._deaf = True
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._started = cycle
        super()._start_asgi_task(cycle, app)

    def _judge(self) -> Refusal | None:
        limits = self.terms.limits
        if self._raw > limits.max_head and size_of(self.url, self.headers) > limits.max_head:
            return large_head(limits)
        if len(self.pipeline) >= _MOST_WAITING:
            return malformed(f"{_MOST_WAITING} requests at most may wait for an earlier response")
        if self.url[:1] != b"/":
            self.url, self.headers[:] = relative(self.url, self.headers)
        if self.parser.should_upgrade() and not self._has_known_end():
            return malformed("`CONNECT`, or `Upgrade` with `Transfer-Encoding`, is not accepted")
        return fault_of(self.parser.get_http_version(), self.url, self.headers, limits)

    def _has_known_end(self) -> bool:
        is_connect = self.parser.get_method() == b"CONNECT"
        return not is_connect and first(self.headers, b"transfer-encoding") is None

    def _is_answering(self) -> bool:
        last: RequestResponseCycle | None = self.cycle
        return last is not None and not last.response_complete

    # ---- refusals

    def _refuse(self, refusal: Refusal) -> None:
        """Drop all further bytes, log the refusal, and close the connection.

        - No response is awaited: the refusal is sent.
        - A body is refused before the only awaited response has begun: the refusal is sent in place
          of this response.
        - Otherwise only the awaited responses are sent, because the refusal must not overtake them.
        """
        request_id = self._request_id()
        self._note_refusal(refusal.reason, request_id)
        self._deaf = True
        self._owed = None
        if self._is_answering():
            last = self.cycle
            if self._stage is not Stage.BODY or last.response_started or self.pipeline:
                last.keep_alive = False
                return
            last.disconnected = True
            last.message_event.set()
        self._send_refusal(refusal, request_id)

    def _note_refusal(self, reason: AccessRefusal, request_id: str = "") -> None:
        """Tell what is known about the refused connection, and about its request."""
        peer, method, path = self.client[0] if self.client else "", "", ""
        if self._stage in (Stage.HEAD, Stage.BODY) and self.url:
            method = self.parser.get_method().decode("ascii")
            path = self.url.partition(b"?")[0].decode("latin-1")
        self.terms.refused(reason, RefusedRequest(peer, request_id, method, path))

    def _request_id(self) -> str:
        fields: Fields = self.headers if self._stage is Stage.HEAD else []
        if self._stage is Stage.BODY:
            fields = list(self.scope["headers"])
        given = request_id_of(first(fields, b"x-request-id"))
        return self.terms.new_id() if given is None else given.decode("ascii")

    def _send_refusal(self, refusal: Refusal, request_id: str) -> None:
        """Send the refusal. An immediate close could destroy it, so the connection lingers."""
        date = to_http_date(from_seconds(self.terms.clock.now()))
        self.transport.write(refusal.written(request_id, date))
        self._outlet.linger()


class Stage(Enum):
    """The place of the parser in a message."""

    REST = auto()  # between two messages
    HEAD = auto()
    BODY = auto()


class _Refused(Exception):
    """A callback of the parser raises this to stop the parser."""


class _NoTrailers(list[tuple[bytes, bytes]]):
    """Remains empty. It replaces the list of fields when a head is complete."""

    def append(self, field: tuple[bytes, bytes]) -> None:
        """Drop the field."""


_NO_TRAILERS: Final = _NoTrailers()
