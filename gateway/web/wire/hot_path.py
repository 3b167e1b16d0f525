"""The hot path: it answers hits without a request object, and usually without parsing.

A head with the fields of an earlier one (`head_cache`) is answered from L1, or after a look-up in
Redis. A head that has to be parsed is answered only from L1. All other requests go to Starlette.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, Self

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.core.http.cache_control import request_directives_of
from gateway.core.http.fields import Headers
from gateway.core.http.traceparent import TRACEPARENT
from gateway.core.upstream.training import ID
from gateway.web.wire.connection import Stage, Terms, Wire
from gateway.web.wire.head_cache import Blocks, Form
from gateway.web.wire.hits import Hits
from gateway.web.wire.request_head import PlainHead, extra_of, is_host

# The most bytes that wait to be written: some hundreds of usual responses.
_MOST: Final = 262_144
# After a turn of the event loop with only one response, requests probably come one by one. Each of
# the next 31 responses is then written immediately, because gathering would gain nothing.
_ALONE: Final = 31

_logger = logging.getLogger(__name__)


class Outbox:
    """Gathers the responses of a plane, and writes them at the end of a turn of the event loop.
    This saves 4 % of the CPU of a hit.

    Code that writes to a connection directly, or closes it, calls `flush` first, so that the order
    is kept.
    """

    def __init__(self) -> None:
        # With one list of pairs, the garbage collector would run more often.
        self._transports: list[asyncio.Transport] = []
        self._answers: list[bytes] = []
        self._size = 0
        self._is_due = False  # `_end_turn` is scheduled
        self._at_once = 0  # how many of the next responses will not wait

    def put(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Write the response by the end of this turn."""
        self._transports.append(transport)
        self._answers.append(answer)
        self._size += len(answer)
        if self._size > _MOST:
            self.flush()
        elif not self._is_due:
            self._flush_or_schedule()

    def flush(self) -> None:
        """Write all waiting responses now. They belong to several connections, so errors are logged
        and never raised."""
        if not self._answers:
            return
        transports, answers = self._transports, self._answers
        self._transports, self._answers, self._size = [], [], 0
        for transport, answer in zip(transports, answers, strict=True):
            try:
                if not transport.is_closing():
                    transport.write(answer)
            except Exception:
                _logger.exception("an answer could not be written")
                transport.abort()

    def _flush_or_schedule(self) -> None:
        if self._at_once:
            self._at_once -= 1
            self.flush()
        else:
            asyncio.get_running_loop().call_soon(self._end_turn)
            self._is_due = True

    def _end_turn(self) -> None:
        self._is_due = False
        if len(self._answers) == 1:
            self._at_once = _ALONE
        self.flush()


_REST = Stage.REST


class Many(Protocol):
    """Answers plain requests for several trainings."""

    def answer(self, said: PlainHead, query: bytes, *, is_head: bool) -> Sequence[bytes] | None:
        """The whole response, in pieces. None: Starlette has to answer."""


class Parsing(Wire):
    """A connection that parses each head, for the data plane. `many` None: Starlette answers
    them."""

    hits: Hits
    many: Many | None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._asked: Asked | None = None  # the last head, if it is plain
        self._fields: list[tuple[bytes, bytes]] = []  # the fields of that head
        self._is_answered = False  # whether `hits` answered the current message
        self._begun_here = 0  # how many messages began in the current bytes
        # How many looks came after the last hit. None: no idle time after a hit is counted.
        self._idle: int | None = None
        super().connection_made(transport)

    def look(self) -> None:
        """As Wire. Also close the connection if it was idle too long after a hit, because a hit
        sets no timer."""
        if self._idle is not None:
            if self._idle >= self.timeout_keep_alive:
                self._idle = None
                self.timeout_keep_alive_handler()
            else:
                self._idle += 1
        super().look()

    # ---- the parser's callbacks

    def on_message_begin(self) -> None:
        """Begin a message without the scope that uvicorn would make."""
        self.url, self.headers = b"", []
        self._stage, self._begun = Stage.HEAD, True
        self._asked, self._is_answered = None, False
        self._idle = None
        self._begun_here += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add the field. uvicorn's method would also check for `Expect`. A plain hit does not need
        this check. For the other heads, `_make_scope` calls uvicorn's method."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Answer the message if it is a plain hit. Otherwise make a request for Starlette."""
        self._asked = asked = self._plain()
        answer = None
        if asked is not None:
            self._fields = self.headers
            answer = self._answer(asked)
        if answer is None:
            self._make_scope()
            super().on_headers_complete()
            return
        self._is_answered = True
        self.transport.writelines(answer)
        self._note_sent()

    def on_message_complete(self) -> None:
        if self._is_answered:
            self._stage, self._owed = _REST, None
        else:
            super().on_message_complete()

    def _answer(self, asked: Asked) -> Sequence[bytes] | None:
        if asked.query is None:
            answer = self.hits.answer(asked.said, asked.training_id, is_head=asked.is_head)
            return None if answer is None else (answer,)
        if self.many is None:
            return None
        return self.many.answer(asked.said, asked.query, is_head=asked.is_head)

    def _plain(self) -> Asked | None:
        limits = self.terms.limits
        if self._raw > limits.max_head or len(self.headers) > limits.max_fields:
            return None
        if not self._is_quiet() or self.parser.get_http_version() != "1.1":
            return None
        method, hits = self.parser.get_method(), self.hits
        return plain(
            method, self.url, self.headers, hits.forwarded, heeds_directives=hits.heeds_directives
        )

    def _make_scope(self) -> None:
        """Begin the message as uvicorn does. uvicorn's method clears the parsed head, so the head
        is put back."""
        url, fields = self.url, self.headers
        HttpToolsProtocol.on_message_begin(self)
        self.url = url
        for name, value in fields:
            HttpToolsProtocol.on_header(self, name, value)

    def _is_quiet(self) -> bool:
        """Whether a response can be written at once: none is awaited, the caller reads, and the
        connection stays open."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            return False
        if self._deaf or self._is_draining:
            return False
        return not (self.flow.write_paused or self.transport.is_closing())

    def _note_sent(self) -> None:
        self.server_state.total_requests += 1
        self._owed, self._idle = None, 0
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()


_GET: Final = b"GET /training/"
_ID_AT: Final = len(_GET)
_VERSION: Final = b" HTTP/1.1\r\n"


class HotPath(Parsing):
    """One connection of the data plane."""

    blocks: Blocks
    outbox: Outbox

    @classmethod
    def beside(cls, hits: Hits, many: Many | None, terms: Terms) -> type[Self]:
        """The class of one plane's connections, for uvicorn's parameter `http=`."""
        limits = terms.limits
        blocks = Blocks(hits.forwarded, limits.max_head, limits.max_fields)
        parts = {"hits": hits, "many": many, "blocks": blocks, "outbox": Outbox()}
        return type(cls.__name__, (cls,), {"terms": terms, **parts})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._form: Form | None = None  # the form of the last head that was recognised
        self._at_ease = False  # True: `_is_quiet` was true, and only hits came since then
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Answer a head whose fields are known, if L1 may answer. Parse other bytes."""
        if data.startswith(_GET) and (self._at_ease or (self._stage is _REST and self._is_quiet())):
            form = self._form
            if form is None or not data.endswith(form.tail) or (form.cuts and not form.takes(data)):
                form = self._recognise(data)
            if form is not None:
                training_id = data[_ID_AT : -form.length].decode("latin-1")
                answer = self.hits.answer(form.said, training_id)
                if answer is not None:
                    self._hand_in(answer)
                    return
        self._parse(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._at_ease = False
        super().connection_lost(exc)

    def drain(self) -> None:
        """As Wire, after the waiting hits are written. Each further head becomes a request for
        Starlette."""
        self._at_ease = False
        self.outbox.flush()
        super().drain()

    def timeout_keep_alive_handler(self) -> None:
        """Close the idle connection after some turns, as Wire. `_at_ease` becomes False, so that a
        hit in these turns cancels the close."""
        self._at_ease = False
        super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        self._at_ease = False
        super().pause_writing()

    def eof_received(self) -> bool:  # type: ignore[override]
        """As Wire, after the waiting hits are written."""
        self.outbox.flush()
        return super().eof_received()

    def _recognise(self, head: bytes) -> Form | None:
        """What is known of the head from an earlier request (see `Form` in head_cache), or None."""
        block = head[head.find(_VERSION, _ID_AT) :]
        form = self.blocks.known(block) or self.blocks.find(block, self._form)
        if form is not None:
            self._form = form
        return form

    def _parse(self, data: bytes) -> None:
        self.outbox.flush()
        self._at_ease = False
        at_rest = self._stage is _REST
        self._asked, self._begun_here = None, 0
        super().data_received(data)
        if at_rest:
            self._remember(data)

    def _remember(self, data: bytes) -> None:
        asked = self._asked
        if asked is None or self._begun_here != 1 or self._stage is not _REST:
            return
        if not self._is_answered and self.hits.known(asked.said) is None:
            return
        line = b"%b%b%b" % (_GET, asked.training_id.encode("ascii"), _VERSION)
        if data.startswith(line):
            block = data[len(line) - len(_VERSION) :]
            self.blocks.meet(block, asked.said, self._fields)

    def _hand_in(self, answer: bytes) -> None:
        """Put the response into the outbox, and count it.

        If `_at_ease` was True before `put`, no timer or deadline has to be reset. `put` can write
        at once, and `pause_writing` can then set `_at_ease` to False.
        """
        at_ease = self._at_ease
        self.outbox.put(self.transport, answer)
        if at_ease:
            self.server_state.total_requests += 1
            self._idle = 0
        else:
            self._note_sent()
            self._at_ease = self._is_quiet()


_PLAIN_TARGET = re.compile(rf"/training/(?!\.\.?\Z)({ID})".encode("ascii"))
_MANY: Final = b"/training?"
# A head with one of these fields is not plain. The fields concern a body, trailers, another
# protocol, or the lowest version that the caller accepts.
_ODD: Final = frozenset(
    b"content-length expect http2-settings te trailer training-min-updated-at transfer-encoding "
    b"upgrade".split()
)


class Asked(NamedTuple):
    """A plain request for a training, or for several with the undecoded `query`."""

    training_id: str
    said: PlainHead
    is_head: bool
    query: bytes | None = None


def plain(
    method: bytes,
    target: bytes,
    fields: Sequence[tuple[bytes, bytes]],
    forwarded: frozenset[bytes],
    *,
    heeds_directives: bool,
) -> Asked | None:
    """The plain request of an HTTP/1.1 head, None if the head is not plain.

    A plain head is a valid GET or HEAD of one training, or of several with a query. No field comes
    twice, and no field asks for more than a stored response.
    """
    by_name = dict(fields)
    if len(by_name) != len(fields) or not _ODD.isdisjoint(by_name):
        return None
    if not is_host(by_name.get(b"host", b"\n")) or method not in (b"GET", b"HEAD"):
        return None
    if b"connection" in by_name and by_name[b"connection"].lower() != b"keep-alive":
        return None
    if heeds_directives and request_directives_of(by_name.get(b"cache-control")) is not None:
        return None
    match = _PLAIN_TARGET.fullmatch(target)
    if match is None and not target.startswith(_MANY):
        return None
    said = PlainHead(by_name, _extra_of_these(by_name, fields, forwarded))
    is_head = method == b"HEAD"
    if match is None:
        return Asked("", said, is_head, target[len(_MANY) :])
    return Asked(match[1].decode("ascii"), said, is_head)


def _extra_of_these(
    by_name: dict[bytes, bytes], fields: Sequence[tuple[bytes, bytes]], forwarded: frozenset[bytes]
) -> Headers | None:
    """As `extra_of`, but None if no field is passed on, or only a valid `traceparent`.
    `PlainHead.ask` adds this `traceparent`."""
    if not forwarded.isdisjoint(by_name):
        return extra_of(fields, forwarded)
    traceparent = by_name.get(b"traceparent")
    if traceparent is None or TRACEPARENT.fullmatch(traceparent):
        return None
    return extra_of(fields, forwarded)
