"""The short way of a hit: answered where its head is parsed, or recognised.

A Wire that asks `hits` before it makes a request of what arrived. Whatever is not a plain hit
on a quiet connection goes on to Starlette, exactly as it would have without this module.
"""

from __future__ import annotations

import asyncio
from typing import Self

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.web.asked import Asked, plain
from gateway.web.hits import Hits
from gateway.web.wire import Stage, Terms, Wire

_REST = Stage.REST
# Heads remembered, and how long one may be: 8 MiB at most.
_MOST = 8_192
_LONGEST = 1_024


class Heads:
    """What heads ask that came before, byte for byte: parsing is a function of the bytes.

    Only a head that comes again is kept, so that callers whose heads never repeat fill nothing.
    A full table starts anew: what is asked for again and again is soon back.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: dict[bytes, Asked] = {}
        self._seen: set[int] = set()
        self.get = self._known.get

    def meet(self, head: bytes, asked: Asked) -> None:
        """This head asks that."""
        mark = hash(head)
        if mark not in self._seen:
            if len(self._seen) >= self._most:
                self._seen.clear()
            self._seen.add(mark)
        elif len(head) <= _LONGEST:
            if len(self._known) >= self._most:
                self._known.clear()
            self._known[head] = asked


class HotPath(Wire):
    """One connection of the data plane; `beside(hits, terms)` gives the class for `http=`."""

    hits: Hits
    heads: Heads

    @classmethod
    def beside(cls, hits: Hits, terms: Terms) -> type[Self]:
        """This class for the connections of one plane."""
        return type(cls.__name__, (cls,), {"hits": hits, "heads": Heads(), "terms": terms})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As Wire does."""
        self._asked: Asked | None = None  # by the hit under way, or the last one
        self._begun_here = 0  # messages in the bytes at hand
        self._has_served = False  # since the last look
        self._idle_since: float | None = None  # None: uvicorn's own timer watches
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Answer at once a head that is known; parse the rest."""
        known = self.heads.get(data)
        at_rest = self._stage is _REST
        if known is not None and at_rest and self._is_quiet():
            answer = self.hits.answer(known)
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
        answer = None if asked is None else self.hits.answer(asked)
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
        """What these bytes ask, if they were one plain head as a whole."""
        if self._asked is not None and self._begun_here == 1 and self._stage is _REST:
            self.heads.meet(data, self._asked)

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
