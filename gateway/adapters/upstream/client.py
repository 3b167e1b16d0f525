"""The upstream over HTTP/1.1: sends one request and reads one whole answer.

It must not judge an answer, try twice, or ask the budget: `flow` does these things. It does not use
httpx's client, which sends cookies back, reads the environment, and raises on a redirect with a
malformed `Location`.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Iterable

import httpx

from gateway.adapters.upstream.http1_connection import CutShortError, check_size
from gateway.adapters.upstream.http1_transport import Exchange, Http1Transport
from gateway.core.errors import InvalidPayload, UpstreamUnreachable
from gateway.core.http.fields import HOP_BY_HOP, Headers, Reply, first, without_hops
from gateway.core.http.traceparent import sampled_trace_of
from gateway.core.upstream.list_page import PAGE_SIZE
from gateway.core.vocabulary import FailureReason, InvalidReason, Purpose
from gateway.ports import Attributes, Call, Clock, Deadline, Observer, Write

_CONNECTIONS = 64
_KEPT_IDLE = 16
# Servers close an idle connection after 5 s (Node.js) or later. The gateway closes first: a server
# might close just when a request is sent.
_KEPT_SECONDS = 4.0


# These response fields are not passed on. The gateway decodes the body, so the stated length and
# coding are wrong. A cookie for one caller must not reach others.
_NOT_PASSED_DOWN = {b"content-length", b"content-encoding", b"set-cookie"}
_CODINGS = {"identity", "gzip", "x-gzip", "deflate"}
_NOT_PASSED_UP = HOP_BY_HOP | {
    *(b"accept", b"accept-encoding", b"authorization", b"content-length", b"cookie", b"expect"),
    *(b"host", b"if-modified-since", b"if-none-match", b"range", b"user-agent"),
}

_TRACEPARENT = b"traceparent"

# The conditions of a write are those of the caller, so they are passed on. The gateway itself sets
# the conditions of a read.
_NOT_PASSED_UP_IN_WRITES = _NOT_PASSED_UP - {b"if-modified-since", b"if-none-match"}


class HttpxUpstream:
    """Sends calls to the API at `base_url`.

    timeout          seconds that a call can take, even if its deadline is later
    connect_timeout  seconds for DNS and the TCP connection, and as many again for TLS
    max_body         the largest body in bytes, before and after decoding
    max_list_body    the same for a page of the list (None: `max_body`)
    passes_codings   whether a body in an unknown content coding is passed on unchanged
    connections      how many calls can run at once
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
        observer: Observer,
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
            (b"Accept", b"application/json"),
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", user_agent.encode()),
        ]
        self._slots = asyncio.Semaphore(connections)
        self._transport = Http1Transport(
            self._base,
            tls or httpx.create_ssl_context(trust_env=False),
            connect_timeout=connect_timeout,
            kept=min(connections, _KEPT_IDLE),
            kept_seconds=_KEPT_SECONDS,
        )

    async def call(self, call: Call) -> Reply:
        """As Upstream.call. Raises also the error of `before_send`."""
        started = self._clock.monotonic()
        seconds = min(self._timeout, call.deadline - started)
        status = None
        self._observer.call_started(call.purpose)
        try:
            url, fields, most = self._url(call), request_fields(call), self._most(call)
            exchange = self._exchange(url, fields, most, call.write)
            exchange.is_retry = call.purpose is Purpose.RETRY
            exchange.before_send = call.before_send
            if call.span is not None:
                call.span.note(_span_attributes(exchange))
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
        exchange = self._exchange(self._base, [], 0)
        try:
            (await self._transport.connect(exchange)).close()
        except (httpx.TransportError, OSError) as error:
            raise exchange.failure(error) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    def _url(self, call: Call) -> httpx.URL:
        if call.write is not None:
            return self._base.copy_with(raw_path=self._root + call.write.path.encode())
        if call.offset is None:
            path = self._root + b"/training/" + call.training_id.encode()
            return self._base.copy_with(raw_path=path)
        page = b"/training?limit=%d&offset=%d" % (PAGE_SIZE, call.offset)
        return self._base.copy_with(raw_path=self._root + page)

    def _most(self, call: Call) -> int:
        return self._max_body if call.offset is None else self._max_list_body

    def _exchange(
        self,
        url: httpx.URL,
        fields: list[tuple[bytes, bytes]],
        max_body: int,
        write: Write | None = None,
    ) -> Exchange:
        headers = [*self._fields, *fields]
        method, body = ("GET", None) if write is None else (write.method, write.body)
        request = httpx.Request(method, url, headers=headers, content=body)
        return Exchange(request, max_body)

    async def _within(self, seconds: float, exchange: Exchange) -> Reply:
        if seconds <= 0:
            raise exchange.late()
        try:
            async with Deadline(seconds):
                return await self._perform(exchange)
        except TimeoutError:
            raise exchange.late() from None

    async def _perform(self, exchange: Exchange) -> Reply:
        request = exchange.request
        async with self._slots:
            request.extensions["exchange"] = exchange
            try:
                response = await self._transport.handle_async_request(request)
            except httpx.LocalProtocolError:
                # The error does not quote an invalid field, because the field can contain a
                # credential.
                what = f"{exchange.what}: the request is not valid HTTP"
                raise UpstreamUnreachable(what, FailureReason.PROTOCOL, sent=False) from None
            except CutShortError as error:
                what = f"{exchange.what}: the body was cut short: {error}"
                raise InvalidPayload(InvalidReason.TRUNCATED, what) from error
            except (httpx.TransportError, OSError) as error:
                raise exchange.failure(error) from error
            finally:
                # Request and exchange refer to each other. Without this line only the garbage
                # collector would free them, and its runs stop the event loop for milliseconds.
                del request.extensions["exchange"]
        body = b"".join([part async for part in response.aiter_raw()])
        coding = coding_of(response.headers.raw)
        fields = end_to_end(response.headers.raw)
        if self._passes_codings and not is_decodable(coding):
            told = (b"content-encoding", coding.encode("latin-1"))
            return Reply(response.status_code, (*fields, told), body)
        return Reply(response.status_code, fields, decoded(body, coding, exchange.max_body))


def _span_attributes(exchange: Exchange) -> Attributes:
    """The attributes of the call's span (HTTP semantic conventions), without header fields."""
    url = exchange.request.url
    told: dict[str, str | int] = {
        "http.request.method": exchange.request.method,
        "url.full": str(url),
        "server.address": url.host,
        "server.port": url.port or (443 if url.scheme == "https" else 80),
    }
    return told | ({"http.request.resend_count": 1} if exchange.is_retry else {})


def request_fields(call: Call) -> list[tuple[bytes, bytes]]:
    """The request fields of this call. `call.extra` cannot set a field that the gateway sets."""
    fields = [(b"Authorization", b"Bearer " + call.token.encode())]
    if call.etag is not None:
        fields.append((b"If-None-Match", call.etag))
    if call.last_modified is not None:
        fields.append((b"If-Modified-Since", call.last_modified))
    if call.write is not None:
        fields += [each for each in call.write.fields if each[0] not in _NOT_PASSED_UP_IN_WRITES]
    fields += [each for each in call.extra if each[0].lower() not in _NOT_PASSED_UP]
    if call.span is not None:
        fields = [each for each in fields if each[0] != _TRACEPARENT]
        fields.append((_TRACEPARENT, call.span.traceparent))
    return fields


def end_to_end(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The response fields that are passed on, with names in lower case."""
    fields = without_hops(tuple((name.lower(), value) for name, value in raw))
    return tuple(field for field in fields if field[0] not in _NOT_PASSED_DOWN)


def is_decodable(coding: str) -> bool:
    """Whether `decoded` can decode this content coding."""
    return coding in _CODINGS


def coding_of(raw: Iterable[tuple[bytes, bytes]]) -> str:
    """The content codings that the fields name, in lower case. Each byte is one character, because
    a field can have bytes that are no text."""
    named = (value for name, value in raw if name.lower() == b"content-encoding")
    return b", ".join(named).strip().lower().decode("latin-1") or "identity"


def decoded(body: bytes, coding: str, most: int) -> bytes:
    """The body without its content coding. Some upstreams use one, although the gateway asks for
    none.

    Raises InvalidPayload if decoding fails, or makes more than `most` bytes.
    """
    if not body or coding == "identity":
        return body
    if not is_decodable(coding):
        raise InvalidPayload(InvalidReason.NOT_UTF8, "a body in an unknown content coding")
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # recognises zlib and gzip
    try:
        plain = inflater.decompress(body, most + 1)
    except zlib.error as error:
        raise InvalidPayload(
            InvalidReason.NOT_UTF8, f"a body that cannot be decoded as {coding}"
        ) from error
    check_size(len(plain), most)
    if not inflater.eof or inflater.unused_data:
        what = f"a body whose {coding} data ends too early, or is followed by other bytes"
        raise InvalidPayload(InvalidReason.TRUNCATED, what)
    return plain
