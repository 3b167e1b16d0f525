"""The upstream over HTTP/1.1: sends one request and reads one whole answer.

It must not judge an answer, try twice, or ask the budget: `flow` does these things. httpcore, the
transport of httpx, writes requests and reads responses. Two parts of these libraries are not used:
httpx's client (it sends cookies back, reads the environment, and raises on a redirect with a
malformed `Location`), and httpcore's pool (it loses a connection for ever if a caller leaves at the
wrong moment: encode/httpcore#1099).
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401, see anyio below
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

# The first call would load this, and hold the event loop for 60 ms.
import anyio._backends._asyncio  # noqa: F401
import httpcore
import httpx

from gateway.adapters.upstream.connect import Connector, Stream
from gateway.adapters.upstream.exchange import Exchange, Phase, span_attributes
from gateway.adapters.upstream.look_up import LookUps
from gateway.adapters.upstream.message import (
    WITHOUT_BODY,
    check_size,
    coding_of,
    decoded,
    end_to_end,
    is_decodable,
    request_fields,
    with_lower_names,
)
from gateway.core.errors import InvalidPayload, UpstreamUnreachable
from gateway.core.http.fields import Reply, first
from gateway.core.http.traceparent import sampled_trace_of
from gateway.core.upstream.list_page import PAGE_SIZE
from gateway.core.vocabulary import FailureReason, InvalidReason, Purpose
from gateway.ports import Call, Clock, ConnectionObserver, Deadline

_CONNECTIONS: Final = 128
_KEPT_IDLE: Final = 16
# Servers close an idle connection after 5 s (Node.js) or later. The gateway closes first: a server
# might close just when a request is sent.
_KEPT_SECONDS: Final = 4.0


class HttpxUpstream:
    """Sends calls to the API at `base_url`.

    timeout          seconds that a call can take, even if its deadline is later
    connect_timeout  seconds for DNS and the TCP connection, and as many again for TLS
    max_body         the largest body in bytes, before and after decoding
    max_list_body    the same for a page of the list (None: `max_body`)
    passes_codings   whether a body in an unknown content coding is passed on unchanged
    connections      how many calls can run at once. Those with one token have half of them at most
    tls              replaces the default context, which trusts the public authorities
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float,
        connect_timeout: float,
        max_body: int,
        max_list_body: int | None = None,
        clock: Clock,
        observer: ConnectionObserver,
        user_agent: str,
        passes_codings: bool = False,
        connections: int = _CONNECTIONS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._base = httpx.URL(base_url).copy_with(userinfo=b"", query=None, fragment=None)
        self._root = self._base.raw_path.rstrip(b"/")
        self._timeout = timeout
        self._max_body = max_body
        self._max_list_body = max_list_body or max_body
        self._clock = clock
        self._observer = observer
        self._passes_codings = passes_codings
        self._fields = [
            (b"Host", self._base.netloc),
            (b"Accept", b"application/json"),
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", user_agent.encode()),
        ]
        self._slots = Slots(connections)
        port = self._base.port or (443 if self._base.scheme == "https" else 80)
        self._origin = httpcore.Origin(self._base.raw_scheme, self._base.raw_host, port)
        if self._base.scheme == "https":
            tls = tls or httpx.create_ssl_context(trust_env=False)
            tls.set_alpn_protocols(["http/1.1"])
        else:
            tls = None
        host = self._base.raw_host.decode("ascii")
        self._connector = Connector(host, LookUps(host, port), tls, connect_timeout)
        self._idle: deque[_Connection] = deque(maxlen=_KEPT_IDLE)

    async def call(self, call: Call) -> Reply:
        """As Upstream.call. Raises also the error of `before_send`."""
        started = self._clock.monotonic()
        seconds = min(self._timeout, call.deadline - started)
        status = None
        self._observer.call_started(call.purpose)
        try:
            exchange = self._exchange(call)
            if call.span is not None:
                call.span.note(span_attributes(exchange))
            reply = await self._within(seconds, exchange)
            status = reply.status
            return reply
        finally:
            seconds = self._clock.monotonic() - started
            if call.span is None:
                trace = sampled_trace_of(first(call.extra, b"traceparent"))
            else:
                trace = sampled_trace_of(call.span.traceparent)
                if status is not None:
                    call.span.note({"http.response.status_code": status})
            self._observer.call_ended(call.purpose, status, seconds, trace)

    async def reachable(self) -> None:
        """Open a connection, with TLS if the URL is https, and close it.

        Raises UpstreamUnreachable or UpstreamTimeout.
        """
        exchange = Exchange(url=self._base, fields=[], before_send=None)
        (await self._connected(exchange)).stream.abort()

    async def close(self) -> None:
        """Close all connections, also those on which a response is awaited."""
        self._idle.clear()
        self._connector.close()

    def _exchange(self, call: Call) -> Exchange:
        is_retry = call.purpose is Purpose.RETRY
        exchange = Exchange(
            url=self._url(call),
            fields=[*self._fields, *request_fields(call)],
            max_body=self._max_body if call.offset is None else self._max_list_body,
            token=call.token,
            before_send=call.before_send,
            is_retry=is_retry,
            # The upstream can close a kept connection just when a request is sent. A write cannot
            # be sent again then, and a second try should not meet the same.
            is_new=is_retry or call.write is not None,
        )
        if call.write is not None:
            exchange.method, exchange.body = call.write.method, call.write.body
            exchange.query = call.write.query
            exchange.fields.append((b"Content-Length", b"%d" % len(exchange.body)))
        return exchange

    def _url(self, call: Call) -> httpx.URL:
        if call.write is not None:
            return self._base.copy_with(raw_path=self._root + call.write.path.encode())
        if call.offset is None:
            path = self._root + b"/training/" + call.training_id.encode()
            return self._base.copy_with(raw_path=path)
        query = call.query
        if query is None:
            query = b"limit=%d&offset=%d" % (PAGE_SIZE, call.offset)
        path = b"/training?" + query if query else b"/training"
        return self._base.copy_with(raw_path=self._root + path)

    async def _within(self, seconds: float, exchange: Exchange) -> Reply:
        if seconds <= 0:
            raise exchange.late()
        try:
            async with Deadline(seconds), self._slots.one_for(exchange.token):
                return await self._perform(exchange)
        except TimeoutError:
            raise exchange.late() from None

    async def _perform(self, exchange: Exchange) -> Reply:
        connection = await self._ready(exchange)
        try:
            response = await self._sent(exchange, connection)
            body = await _body(response, exchange)
        except BaseException:
            connection.stream.abort()
            raise
        if exchange.is_new or not connection.is_at_rest(response.status):
            connection.stream.abort()
        else:
            self._keep(connection)
        coding = coding_of(response.headers)
        fields = end_to_end(response.headers)
        if self._passes_codings and not is_decodable(coding):
            told = (b"content-encoding", coding.encode("latin-1"))
            return Reply(response.status, (*fields, told), body)
        return Reply(response.status, fields, decoded(body, coding, exchange.max_body))

    async def _ready(self, exchange: Exchange) -> _Connection:
        """A connection for the request. `before_send` has returned, so the request can be sent at
        once."""
        connection = None if exchange.is_new else self._take()
        exchange.is_kept = connection is not None
        if connection is None:
            connection = await self._connected(exchange)
        if exchange.before_send is not None:
            exchange.phase = Phase.QUEUED
            try:
                await exchange.before_send()
            except BaseException:
                self._keep(connection)
                raise
        return connection

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.http1.has_expired():
                return connection
            connection.stream.abort()
        return None

    def _keep(self, connection: _Connection) -> None:
        if not connection.http1.is_available():
            connection.stream.abort()
            return
        if len(self._idle) == _KEPT_IDLE:
            self._idle.popleft().stream.abort()
        self._idle.append(connection)

    async def _connected(self, exchange: Exchange) -> _Connection:
        exchange.phase = Phase.CONNECTING
        try:
            stream = await self._connector.connect()
            exchange.phase = Phase.SECURING
            await self._connector.secure(stream)
        except TimeoutError as late:
            raise exchange.late() from late
        except (OSError, UnicodeError) as error:
            raise exchange.failure(error) from error
        http1 = httpcore.AsyncHTTP11Connection(self._origin, stream, _KEPT_SECONDS)
        return _Connection(stream, http1)

    async def _sent(self, exchange: Exchange, connection: _Connection) -> httpcore.Response:
        """Send the request, and return the response when its head has come."""
        url = httpcore.URL(
            scheme=self._origin.scheme,
            host=self._origin.host,
            port=self._origin.port,
            target=exchange.url.raw_path + exchange.query,
        )
        request = httpcore.Request(
            exchange.method, url, headers=exchange.fields, content=exchange.body
        )
        exchange.phase = Phase.SENT
        try:
            response = await connection.http1.handle_async_request(request)
        except httpcore.LocalProtocolError:
            # The error does not quote an invalid field, because the field can contain a credential.
            what = f"{exchange.what}: the request is not valid HTTP"
            raise UpstreamUnreachable(what, FailureReason.PROTOCOL, sent=False) from None
        except _FAILED as error:
            raise exchange.failure(error) from error
        if response.status < 200:
            what = f"{exchange.what}: the response switches protocols"
            raise UpstreamUnreachable(what, FailureReason.PROTOCOL, sent=True)
        return response


_FAILED: Final = (httpcore.NetworkError, httpcore.ProtocolError)


class Slots:
    """Bounds the calls that run at once: `most` together, and half of them with one token.

    A tenant (in `passthrough`, a token) whose calls hang leaves the other half to others.
    """

    def __init__(self, most: int) -> None:
        self._all = asyncio.Semaphore(most)
        self._half = max(1, most // 2)
        # By token. A token without calls has no record.
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def one_for(self, token: str) -> AsyncIterator[None]:
        """Wait for a slot, and keep it while the block runs."""
        own = self._own.get(token)
        if own is None:
            own = self._own[token] = asyncio.Semaphore(self._half)
        async with own, self._all:
            yield


@dataclass(frozen=True, slots=True)
class _Connection:
    """A connection, and httpcore's use of it. Closing the stream ends both."""

    stream: Stream
    http1: httpcore.AsyncHTTP11Connection

    def is_at_rest(self, status: int) -> bool:
        """Whether nothing followed the response with this status. The next request on this
        connection would get any other bytes as its response. A 204 is perhaps followed by a body
        that it must not have, which comes later."""
        # httpcore does not tell what it has read beyond the response, so its parser is asked.
        unread, _ = self.http1._h11_state.trailing_data
        return not unread and status != 204


async def _body(response: httpcore.Response, exchange: Exchange) -> bytes:
    """The body as it was sent. Raises InvalidPayload as soon as it is larger than `max_body`."""
    stated = first(with_lower_names(response.headers), b"content-length")
    if stated is not None and response.status not in WITHOUT_BODY:
        check_size(int(stated), exchange.max_body)
    body = bytearray()
    try:
        async for part in response.aiter_stream():
            body += part
            check_size(len(body), exchange.max_body)
        await response.aclose()
    except _FAILED as error:
        what = f"{exchange.what}: the body was cut short"
        raise InvalidPayload(InvalidReason.TRUNCATED, what) from error
    return bytes(body)
