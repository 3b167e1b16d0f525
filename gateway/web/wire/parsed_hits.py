"""The short way of a hit where its head is parsed: answered before there is a request.

A Wire that asks `hits` as soon as the head of a message is complete. Whatever is not a plain hit
on a quiet connection goes on to Starlette, exactly as it would have without this module.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.web.wire.connection import Stage, Wire
from gateway.web.wire.l1_hits import Hits
from gateway.web.wire.plain_request import Asked, plain

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
        return plain(method, self.url, self.headers, hits.forwarded, heeds_wishes=hits.heeds_wishes)

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
