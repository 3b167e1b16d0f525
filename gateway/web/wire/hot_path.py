"""The shortest ways of a hit: answered before there is a request, and mostly without parsing.

What a connection sends is compared with what came before (`head_cache`), and answered by `hits`:
from L1, or, where L1 has nothing to answer with, once Redis was asked. What is not known is
parsed, and `hits` are asked as soon as the head of a message is complete. Whatever is not a plain
hit on a quiet connection goes on to Starlette, exactly as it would have without this module. The
answers of one turn of the event loop are written together when it ends.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.web.wire.connection import Stage, Terms, Wire
from gateway.web.wire.head_cache import Blocks, Form
from gateway.web.wire.hits import Hits, LookUp, LookUps, UntracedLookUps
from gateway.web.wire.request_head import Asked, PlainHead, plain

# Bytes that may wait: some hundred answers of the usual size.
_MOST: Final = 262_144
# Answers written at once after one that was alone in its turn: to have a turn ended is another call
# to the system, which whoever asks one by one need not pay for.
_ALONE: Final = 31

_logger = logging.getLogger(__name__)


# To read, judge and render for all who asked in this turn, and then to write to all of them, keeps
# the processor at one kind of work: one part in twenty-five of a hit was what it lost in between.
class Outbox:
    """For all connections of one plane. Code that writes, closes or ends something by another way
    calls `flush` before, so that answers leave in their order."""

    def __init__(self) -> None:
        # Two lists: pairs would be a reason to run for the collector of cycles.
        self._transports: list[asyncio.Transport] = []
        self._answers: list[bytes] = []
        self._size = 0
        self._is_due = False  # the end of this turn was asked for
        self._at_once = 0  # answers that do not wait

    def put(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Write it within this turn of the running loop."""
        self._transports.append(transport)
        self._answers.append(answer)
        self._size += len(answer)
        if self._size > _MOST:
            self.flush()
        elif not self._is_due:
            self._have_it_ended()

    def flush(self) -> None:
        """Write all of them now, but to callers that have gone. Raises nothing: the code that calls
        it has nothing to do with most of them."""
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

    def _have_it_ended(self) -> None:
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


class Parsing(Wire):
    """One connection of the data plane, its heads read one by one."""

    hits: Hits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As Wire does."""
        self._asked: Asked | None = None  # by the head at hand, or the last one, if it is plain
        self._fields: list[tuple[bytes, bytes]] = []  # of that one
        self._is_answered = False  # the message at hand, here
        self._begun_here = 0  # messages in the bytes at hand
        self._has_served = False  # since the last look
        self._idle_since: float | None = None  # None: uvicorn's own timer watches
        super().connection_made(transport)

    def look(self, now: float) -> None:
        """Close what was idle for too long after a hit, for which no timer was set."""
        if self._has_served:
            self._has_served, self._idle_since = False, now
        elif self._idle_since is not None and now - self._idle_since >= self.timeout_keep_alive:
            self.transport.close()
            return
        super().look(now)

    def excuse(self, seconds: float) -> None:
        """A request may lie unread on a connection that seems idle."""
        super().excuse(seconds)
        if self._idle_since is not None:
            self._idle_since += seconds

    # ---- the parser's callbacks

    def on_message_begin(self) -> None:
        """Make no scope before it is known that one is needed."""
        self.url, self.headers = b"", []
        self._stage, self._begun = Stage.HEAD, True
        self._asked, self._is_answered = None, False
        self._begun_here += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the field; what it expects is asked where a request is made of it."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Answer a plain hit; make a request of anything else."""
        self._asked = asked = self._plain()
        answer = None
        if asked is not None:
            self._fields = self.headers
            answer = self.hits.answer(asked.said, asked.training_id, is_head=asked.is_head)
        if answer is None:
            self._make_scope()
            super().on_headers_complete()
            return
        self._is_answered = True
        self.transport.write(answer)
        self._note_sent()

    def on_message_complete(self) -> None:
        """The parser is at rest again."""
        if self._is_answered:
            self._stage, self._owed_since = _REST, None
        else:
            super().on_message_complete()

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
        """What the parent does at a message's begin, which forgets what was parsed since."""
        url, fields = self.url, self.headers
        HttpToolsProtocol.on_message_begin(self)
        self.url = url
        for name, value in fields:
            HttpToolsProtocol.on_header(self, name, value)

    def _is_quiet(self) -> bool:
        """Whether nobody waits for an answer here, and one could be written and taken, which need
        not say that the connection ends."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            return False
        if self._deaf or self._is_draining:
            return False
        return not (self.flow.write_paused or self.transport.is_closing())

    def _note_sent(self) -> None:
        self.server_state.total_requests += 1
        self._owed_since, self._has_served = None, True
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()


_GET: Final = b"GET /training/"
_ID_AT: Final = len(_GET)
_VERSION: Final = b" HTTP/1.1\r\n"


@dataclass(slots=True, eq=False)
class _Awaited:
    """A head whose answer is looked up, and what came behind it meanwhile."""

    head: bytes
    look_up: LookUp
    behind: bytes = b""


class HotPath(Parsing):
    """One connection of the data plane; `beside(hits, lookups, terms)` gives the class for
    `http=`."""

    lookups: LookUps | UntracedLookUps
    blocks: Blocks
    outbox: Outbox

    @classmethod
    def beside(cls, hits: Hits, lookups: LookUps | UntracedLookUps, terms: Terms) -> type[Self]:
        """This class for the connections of one plane."""
        limits = terms.limits
        blocks = Blocks(hits.forwarded, limits.max_head, limits.max_fields)
        parts = {"hits": hits, "lookups": lookups, "blocks": blocks, "outbox": Outbox()}
        return type(cls.__name__, (cls,), {"terms": terms, **parts})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As the parent does."""
        self._awaited: _Awaited | None = None
        self._form: Form | None = None  # of the last head that was recognised
        self._at_ease = False  # the last that happened here was a hit, so that all is quiet
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Answer at once a head whose fields are known; parse the rest."""
        if data.startswith(_GET) and (self._at_ease or (self._stage is _REST and self._is_quiet())):
            form = self._form
            if form is None or not data.endswith(form.tail) or (form.cuts and not form.takes(data)):
                form = self._recognise(data)
            if form is not None:
                said, training_id = form.said, data[_ID_AT : -form.length].decode("latin-1")
                answer = self.hits.answer(said, training_id)
                if answer is not None:
                    self._hand_in(answer)
                    return
                if self._look_up(said, training_id, data):
                    return
        if self._awaited is not None:
            self._awaited.behind += data
        else:
            self._parse(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for what is looked up."""
        self._awaited, self._at_ease = None, False
        super().connection_lost(exc)

    def drain(self) -> None:
        """As the parent: from now on everything is a request, and ends the connection."""
        self._at_ease = False
        self.outbox.flush()
        super().drain()

    def pause_writing(self) -> None:
        """The caller does not read what it is sent."""
        self._at_ease = False
        super().pause_writing()

    def eof_received(self) -> bool:  # type: ignore[override]
        """As the parent, once the hits are written."""
        self.outbox.flush()
        return super().eof_received()

    def _recognise(self, head: bytes) -> Form | None:
        """What its block says, if it is known; what the connection sent last from now on."""
        block = head[head.find(_VERSION, _ID_AT) :]
        form = self.blocks.known(block) or self.blocks.find(block, self._form)
        if form is not None:
            self._form = form
        return form

    # ---- what Redis is asked for

    def _look_up(self, said: PlainHead, training_id: str, head: bytes) -> bool:
        """Whether it is looked up now, and nothing is read until the answer is out."""
        look_up = self.lookups.begin(said, training_id)
        if look_up is None:
            return False
        self._unset_keepalive_if_required()
        self._idle_since, self._has_served, self._owed_since = None, False, None
        self._stage, self._at_ease = Stage.AWAITED, False
        self.flow.pause_reading()
        self._awaited = awaited = _Awaited(head, look_up)
        look_up.flight.when_ended(partial(self._looked_up, awaited))
        return True

    def _looked_up(self, awaited: _Awaited) -> None:
        if self._awaited is not awaited:
            return
        try:
            self._go_on(awaited)
        except Exception:
            _logger.exception("a connection could not go on behind a look-up")
            self.transport.abort()

    def _go_on(self, awaited: _Awaited) -> None:
        is_last = self._is_draining or self.transport.is_closing()
        answer = None if is_last else self.lookups.answer(awaited.look_up)
        if answer is None:
            self._hand_on(awaited)
            return
        self._awaited, self._stage = None, _REST
        self._hand_in(answer)
        self._read_on(awaited)

    def _hand_on(self, awaited: _Awaited) -> None:
        """Make a request of it after all, which finds the same look-up."""
        self._awaited, self._stage = None, _REST
        self._parse(awaited.head)
        self.lookups.linger(awaited.look_up)
        self._read_on(awaited)

    def _read_on(self, awaited: _Awaited) -> None:
        self.flow.resume_reading()
        if awaited.behind:
            self.data_received(awaited.behind)

    def _parse(self, data: bytes) -> None:
        self.outbox.flush()
        self._at_ease = False
        at_rest = self._stage is _REST
        self._asked, self._begun_here = None, 0
        self._idle_since, self._has_served = None, False
        super().data_received(data)
        if at_rest:
            self._remember(data)

    def _remember(self, data: bytes) -> None:
        """What this block says, if the bytes were one plain head as a whole, of a known caller."""
        asked = self._asked
        if asked is None or self._begun_here != 1 or self._stage is not _REST:
            return
        if not self._is_answered and not self.hits.knows(asked.said):
            return
        line = b"%b%b%b" % (_GET, asked.training_id.encode("ascii"), _VERSION)
        if data.startswith(line):
            block = data[len(line) - len(_VERSION) :]
            self.blocks.meet(block, asked.said, self._fields)

    def _hand_in(self, answer: bytes) -> None:
        """Have it written when this turn of the loop ends, or now, where much waits: then the
        caller may turn out not to read."""
        at_ease = self._at_ease
        self.outbox.put(self.transport, answer)
        if at_ease:
            self.server_state.total_requests += 1
            self._has_served = True
        else:
            self._note_sent()
            self._at_ease = self._is_quiet()
