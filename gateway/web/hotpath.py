"""The short way of a hit: answered where its head is parsed, or recognised.

A Wire that asks `hits` before it makes a request of what arrived, and where L1 has nothing for a
head that it recognised, Redis (`lookups`). Whatever is not a plain hit on a quiet connection goes
on to Starlette, exactly as it would have without this module.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.web.asked import Asked, Said, plain
from gateway.web.blocks import Blocks
from gateway.web.hits import Hits
from gateway.web.lookups import LookUp, LookUps
from gateway.web.wire import Stage, Terms, Wire

_REST = Stage.REST
_GET: Final = b"GET /training/"
_ID_AT: Final = len(_GET)
_VERSION: Final = b" HTTP/1.1\r\n"

_logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Awaited:
    """A head whose answer is looked up, and what came behind it meanwhile."""

    head: bytes
    look_up: LookUp
    behind: bytes = b""


class HotPath(Wire):
    """One connection of the data plane; `beside(hits, lookups, terms)` gives the class for
    `http=`."""

    hits: Hits
    lookups: LookUps
    blocks: Blocks

    @classmethod
    def beside(cls, hits: Hits, lookups: LookUps, terms: Terms) -> type[Self]:
        """This class for the connections of one plane."""
        limits = terms.limits
        blocks = Blocks(hits.forwarded, limits.max_head, limits.max_fields)
        parts = {"hits": hits, "lookups": lookups, "blocks": blocks, "terms": terms}
        return type(cls.__name__, (cls,), parts)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As Wire does."""
        self._asked: Asked | None = None  # by the head at hand, or the last one, if it is plain
        self._fields: list[tuple[bytes, bytes]] = []  # of that one
        self._is_answered = False  # the message at hand, here
        self._begun_here = 0  # messages in the bytes at hand
        self._has_served = False  # since the last look
        self._idle_since: float | None = None  # None: uvicorn's own timer watches
        self._awaited: _Awaited | None = None
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Answer at once a head whose fields are known; parse the rest."""
        if self._stage is _REST and data.startswith(_GET) and self._is_quiet():
            ends = data.find(_VERSION, _ID_AT)
            block = data[ends:]
            said = self.blocks.known(block) or self.blocks.find(block)
            if said is not None:
                training_id = data[_ID_AT:ends].decode("latin-1")
                answer = self.hits.answer(said, training_id)
                if answer is not None:
                    self._send(answer)
                    return
                if self._look_up(said, training_id, data):
                    return
        if self._awaited is not None:
            self._awaited.behind += data
        else:
            self._parse(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for what is looked up."""
        self._awaited = None
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """As the parent, which waits for answers under way if they are requests."""
        while self._awaited is not None:
            self._hand_on(self._awaited)
        super().shutdown()

    def look(self, now: float) -> None:
        """Close what was idle for too long after a hit, for which no timer was set."""
        if self._has_served:
            self._has_served, self._idle_since = False, now
        elif self._idle_since is not None and now - self._idle_since >= self.timeout_keep_alive:
            self.transport.close()
            return
        super().look(now)

    # ---- what Redis is asked for

    def _look_up(self, said: Said, training_id: str, head: bytes) -> bool:
        """Whether it is looked up now, and nothing is read until the answer is out."""
        look_up = self.lookups.begin(said, training_id)
        if look_up is None:
            return False
        self._unset_keepalive_if_required()
        self._idle_since, self._has_served, self._owed_since = None, False, None
        self._stage = Stage.AWAITED
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
        answer = None if self.transport.is_closing() else self.lookups.answer(awaited.look_up)
        if answer is None:
            self._hand_on(awaited)
            return
        self._awaited, self._stage = None, _REST
        self._send(answer)
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
        at_rest = self._stage is _REST
        self._asked, self._begun_here = None, 0
        self._idle_since, self._has_served = None, False
        super().data_received(data)
        if at_rest:
            self._remember(data)

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
        self._send(answer)

    def on_message_complete(self) -> None:
        """The parser is at rest again."""
        if self._is_answered:
            self._stage, self._owed_since = _REST, None
        else:
            super().on_message_complete()

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

    def _plain(self) -> Asked | None:
        limits = self.terms.limits
        if self._raw > limits.max_head or len(self.headers) > limits.max_fields:
            return None
        if not self._is_quiet() or self.parser.get_http_version() != "1.1":
            return None
        method, hits = self.parser.get_method(), self.hits
        return plain(method, self.url, self.headers, hits.forwarded, heeds_wishes=hits.heeds_wishes)

    def _make_scope(self) -> None:
        """What the parent does at a message's begin, which forgets what was parsed since."""
        url, fields = self.url, self.headers
        HttpToolsProtocol.on_message_begin(self)
        self.url = url
        for name, value in fields:
            HttpToolsProtocol.on_header(self, name, value)

    def _is_quiet(self) -> bool:
        """Whether nobody waits for an answer here, and one could be written and taken."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            return False
        return not (self._deaf or self.flow.write_paused or self.transport.is_closing())

    def _send(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.server_state.total_requests += 1
        self._owed_since, self._has_served = None, True
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
