"""The short way of a hit: answered where its head is parsed, or recognised.

A Wire that asks `hits` before it makes a request of what arrived. Whatever is not a plain hit
on a quiet connection goes on to Starlette, exactly as it would have without this module.
"""

from __future__ import annotations

import asyncio
from typing import Final, Self

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.web.asked import Asked, plain
from gateway.web.blocks import Blocks
from gateway.web.hits import Hits
from gateway.web.wire import Stage, Terms, Wire

_REST = Stage.REST
_GET: Final = b"GET /training/"
_ID_AT: Final = len(_GET)
_VERSION: Final = b" HTTP/1.1\r\n"


class HotPath(Wire):
    """One connection of the data plane; `beside(hits, terms)` gives the class for `http=`."""

    hits: Hits
    blocks: Blocks

    @classmethod
    def beside(cls, hits: Hits, terms: Terms) -> type[Self]:
        """This class for the connections of one plane."""
        limits = terms.limits
        blocks = Blocks(hits.forwarded, limits.max_head, limits.max_fields)
        return type(cls.__name__, (cls,), {"hits": hits, "blocks": blocks, "terms": terms})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As Wire does."""
        self._asked: Asked | None = None  # by the hit under way, or the last one
        self._begun_here = 0  # messages in the bytes at hand
        self._has_served = False  # since the last look
        self._idle_since: float | None = None  # None: uvicorn's own timer watches
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Answer at once a head whose fields are known; parse the rest."""
        at_rest = self._stage is _REST
        if at_rest and data.startswith(_GET) and self._is_quiet():
            ends = data.find(_VERSION, _ID_AT)
            block = data[ends:]
            said = self.blocks.known(block) or self.blocks.find(block)
            if said is not None:
                answer = self.hits.answer(said, data[_ID_AT:ends].decode("latin-1"))
                if answer is not None:
                    self._send(answer)
                    return
        self._asked, self._begun_here = None, 0
        self._idle_since, self._has_served = None, False
        super().data_received(data)
        if at_rest:
            self._remember(data)

    def look(self, now: float) -> None:
        """Close what was idle for too long after a hit, for which no timer was set."""
        if self._has_served:
            self._has_served, self._idle_since = False, now
        elif self._idle_since is not None and now - self._idle_since >= self.timeout_keep_alive:
            self.transport.close()
            return
        super().look(now)

    # ---- the parser's callbacks

    def on_message_begin(self) -> None:
        """Make no scope before it is known that one is needed."""
        self.url, self.headers = b"", []
        self._stage, self._begun = Stage.HEAD, True
        self._asked = None
        self._begun_here += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the field; what it expects is asked where a request is made of it."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Answer a plain hit; make a request of anything else."""
        asked = self._plain()
        answer = None
        if asked is not None:
            answer = self.hits.answer(asked.said, asked.training_id, is_head=asked.is_head)
        if answer is None:
            self._make_scope()
            super().on_headers_complete()
            return
        self._asked = asked
        self._send(answer)

    def on_message_complete(self) -> None:
        """The parser is at rest again."""
        if self._asked is None:
            super().on_message_complete()
        else:
            self._stage, self._owed_since = _REST, None

    def _remember(self, data: bytes) -> None:
        """What this block says, if the bytes were one plain head as a whole."""
        asked = self._asked
        if asked is None or self._begun_here != 1 or self._stage is not _REST:
            return
        line = b"%b%b%b" % (_GET, asked.training_id.encode("ascii"), _VERSION)
        if data.startswith(line):
            block = data[len(line) - len(_VERSION) :]
            self.blocks.meet(block, asked.said, self.headers)

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
