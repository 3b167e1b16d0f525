"""The door on the wire: what is refused before there is a request, and who may keep us waiting.

A uvicorn protocol with bounds, for both planes. Whether a head is sound is judged in
`request_head`; what a request means is for the planes. No request pays for a timer: `look` is
called once a second, and counts what a caller has not taken yet.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Self

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.core.http.fields import first
from gateway.core.instant import from_seconds, to_http_date
from gateway.core.vocabulary import AccessRefusal
from gateway.ports import Clock
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


def backlog_of(transport: asyncio.Transport) -> int:
    """Bytes unread, 0 where the system had room for all of them.

    What the system itself holds counts as soon as it is full: it makes room for us only when a
    good part of that was read, and a slow reader would till then look like one that reads nothing.
    """
    unsent = transport.get_write_buffer_size()
    return unsent + _held_by_system(transport) if unsent else 0


def _held_by_system(transport: asyncio.Transport) -> int:
    """Sent and not acknowledged (tcp(7), SIOCOUTQ); 0 where the system does not tell."""
    with suppress(OSError):
        told = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return int(struct.unpack("i", told)[0])
    return 0


# Requests that may wait for the answer to one before them on the same connection.
_DEEPEST: Final = 64
# One byte a chunk is six on the wire: so much of a body may be framing.
_FRAMING: Final = 6
# Turns of the loop in which the sockets are looked at before a connection counts as idle.
_LAST_TURNS: Final = 2
_END: Final = b"\r\n\r\n"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What all connections of a plane share; `refused` counts and logs, with the id of the
    request, if there is one. `draining` is set as soon as each connection ends with the next
    response."""

    limits: Limits
    clock: Clock
    new_id: Callable[[], str]
    refused: Callable[[AccessRefusal, str], None]
    draining: asyncio.Event = field(default_factory=asyncio.Event)


class Wire(HttpToolsProtocol):
    """One connection; `under(terms)` gives the class that a server takes as `http=`."""

    terms: Terms

    @classmethod
    def under(cls, terms: Terms) -> type[Self]:
        """This class for the connections of one plane."""
        return type(cls.__name__, (cls,), {"terms": terms})

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, or say that there is no room; far beyond the bound not even that."""
        self._stage = Stage.REST
        self._raw = 0  # bytes since the parser was at rest
        self._begun = False  # a message began in the bytes at hand
        self._fault: Refusal | None = None
        self._deaf = False
        self._owed_since: float | None = self.loop.time()
        self._unread, self._unread_since = 0, 0.0
        self._outlet = LingeringClose(transport, self.loop.time)
        self._is_draining = self.terms.draining.is_set()
        self._is_kept = False  # what the last request wanted of its connection
        super().connection_made(transport)
        room = self.terms.limits.max_connections
        over = len(self.connections) - room
        if over > max(1, room // 10):
            self.terms.refused(AccessRefusal.TOO_MANY_CONNECTIONS, "")
            self._deaf = True
            transport.abort()
        elif over > 0:
            self._refuse(no_room())

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and see to it that what began ends some day."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._raw += len(data)
        self._begun = False
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            if self._fault is None and isinstance(error, httptools.HttpParserCallbackError):
                _logger.warning("a request head could not be taken", exc_info=error)
            self._refuse(self._fault or malformed("the request is no sound HTTP/1.1"))
            return
        if self._stage is not Stage.REST or not self._begun:
            self._await_more(data)
        else:
            self._raw = 0

    def look(self, now: float) -> None:
        """Close what keeps us waiting; `now` in seconds of the loop's clock."""
        limits, transport = self.terms.limits, self.transport
        if self._outlet.is_overdue(now) or self._outlet.is_reset():
            transport.abort()
            return
        unread = backlog_of(transport)
        if not unread or not self._unread or unread < self._unread:
            self._unread_since = now
        elif now - self._unread_since >= limits.write_timeout:
            self.terms.refused(AccessRefusal.READER_TOO_SLOW, "")
            transport.abort()
            return
        self._unread = unread
        if self._owed_since is not None and now - self._owed_since >= limits.head_timeout:
            self._give_up()

    def excuse(self, seconds: float) -> None:
        """This process did not look for so long, and what callers sent meanwhile lies unread."""
        self._unread_since += seconds
        self._outlet.excuse(seconds)
        if self._owed_since is not None:
            self._owed_since += seconds

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, unless a request on it lies in the socket, unread."""
        self.timeout_keep_alive_task = self.loop.call_later(0.0, self._close_idle, _LAST_TURNS)

    def _close_idle(self, turns: int) -> None:
        if turns == 0:
            super().timeout_keep_alive_handler()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(0.0, self._close_idle, turns - 1)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The caller sends no more. What it asked is answered before the connection is closed;
        True keeps it open till then."""
        self._outlet.peer_has_ended = True
        in_body = self._stage is Stage.BODY and self._is_answering()
        if not self._deaf and (in_body or self._stage is Stage.HEAD):
            self._refuse(malformed("the request ended before it was complete"))
        if self._outlet.is_closed or not self._is_answering():
            return False
        self.cycle.keep_alive = False
        # TLS in asyncio ends both directions at once.
        return self.transport.can_write_eof()

    def drain(self) -> None:
        """Answer what was asked, and say with the last response that the connection ends."""
        self._is_draining = True
        if self._is_answering() and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The same, and close at once where no response is due."""
        self.drain()
        if self._is_answering():
            self.cycle.keep_alive = False
        elif self.is_idle:
            self.transport.close()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked, and the connection was not ended yet."""
        at_rest = self._stage in (Stage.REST, Stage.BODY)
        return at_rest and not (self._deaf or self._is_answering() or self.transport.is_closing())

    @property
    def is_new(self) -> bool:
        """Whether that is so since the connection was made."""
        return self.is_idle and self._owed_since is not None

    def _feed(self, data: bytes) -> None:
        """An `Upgrade` is ignored, as it may be (RFC 9110, 7.8): what follows is plain HTTP."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            else:
                return

    def _await_more(self, data: bytes) -> None:
        limits, in_body = self.terms.limits, self._stage is Stage.BODY
        if self._owed_since is None:
            self._owed_since = self.loop.time()
        if self._stage is Stage.REST:
            self._raw = 0  # an empty line before a request (RFC 9112, 2.2)
        elif self._begun:
            # What stands before the head at hand is not its own.
            self._raw = len(data) - (data.rfind(_END) + len(_END) if _END in data else 0)
        if self._raw > limits.max_head + in_body * limits.max_body * _FRAMING:
            self._refuse(long_body(limits) if in_body else large_head(limits))

    def _give_up(self) -> None:
        """The caller owed us the rest of a message for too long."""
        if self._stage is Stage.HEAD:
            self._refuse(slow_head(self.terms.limits))
        elif not self._is_answering():
            # Nothing was ever asked, or the answer is out and its request goes on.
            self.transport.close()

    # ---- the parser's callbacks

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._stage = Stage.HEAD
        self._begun = True

    def on_headers_complete(self) -> None:
        """Judge the head: only a sound one becomes a request."""
        self._fault = self._judge()
        if self._fault is not None:
            raise _Refused
        before = self.cycle
        super().on_headers_complete()
        self.cycle.transport = self._outlet
        self._keep_in_mind(before)
        self._stage = Stage.BODY
        self._body = 0
        # What comes behind a body must not join what was judged (RFC 9110, 6.5.1).
        self.headers = _NO_TRAILERS

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, if it is not too long."""
        self._body += len(body)
        if self._body > self.terms.limits.max_body:
            self._fault = long_body(self.terms.limits)
            raise _Refused
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here as a whole."""
        super().on_message_complete()
        self._stage = Stage.REST
        self._owed_since = None

    def on_response_complete(self) -> None:
        """Go on with the next request, unless the connection was closed behind this response:
        then what still comes is read and dropped."""
        if not self._outlet.is_closed:
            super().on_response_complete()
            return
        self._deaf = True
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _keep_in_mind(self, before: RequestResponseCycle | None) -> None:
        """Of several requests that wait, the last one ends a connection that drains, so that all
        of them are answered."""
        was_kept, self._is_kept = self._is_kept, self.cycle.keep_alive
        if self._is_draining:
            self.cycle.keep_alive = False
            if before is not None and not before.response_started:
                before.keep_alive = was_kept

    def _judge(self) -> Refusal | None:
        limits = self.terms.limits
        if self._raw > limits.max_head and size_of(self.url, self.headers) > limits.max_head:
            return large_head(limits)
        if len(self.pipeline) >= _DEEPEST:
            return malformed(f"{_DEEPEST} requests at most wait for the answer to one before them")
        if self.url[:1] != b"/":
            self.url, self.headers[:] = relative(self.url, self.headers)
        return fault_of(self.parser.get_http_version(), self.url, self.headers, limits)

    def _is_answering(self) -> bool:
        """Whether an answer to what came last is still to be sent, or to be sent on."""
        last: RequestResponseCycle | None = self.cycle
        return last is not None and not last.response_complete

    # ---- refusals

    def _refuse(self, refusal: Refusal) -> None:
        """Read no more. A response that is awaited is still sent, and then the connection is
        closed: answers come in order, or not at all."""
        request_id = self._request_id()
        self.terms.refused(refusal.reason, request_id)
        self._deaf = True
        self._owed_since = None
        if self._is_answering():
            last = self.cycle
            if self._stage is not Stage.BODY or last.response_started or self.pipeline:
                last.keep_alive = False
                return
            last.disconnected = True
            last.message_event.set()
        self._part(refusal, request_id)

    def _request_id(self) -> str:
        """The caller's own as far as its head is here, else a new one."""
        fields: Fields = self.headers if self._stage is Stage.HEAD else []
        if self._stage is Stage.BODY:
            fields = list(self.scope["headers"])
        given = request_id_of(first(fields, b"x-request-id"))
        return self.terms.new_id() if given is None else given.decode("ascii")

    def _part(self, refusal: Refusal, request_id: str) -> None:
        """Answer and hang up, but not before the caller can have read it: closing with bytes unread
        resets the connection, and takes the answer along."""
        date = to_http_date(from_seconds(self.terms.clock.now()))
        self.transport.write(refusal.written(request_id, date))
        self._outlet.linger()


class Stage(Enum):
    """Which part of a message the parser is in."""

    REST = auto()
    HEAD = auto()
    BODY = auto()
    AWAITED = auto()  # none: the message before is looked up, and what comes has to wait


class _Refused(Exception):
    """Raised out of the parser's callbacks, so that it stops."""


class _NoTrailers(list[tuple[bytes, bytes]]):
    """Stands in for the fields once the head is complete, and keeps none."""

    def append(self, field: tuple[bytes, bytes]) -> None:
        """Let it go."""


_NO_TRAILERS: Final = _NoTrailers()
