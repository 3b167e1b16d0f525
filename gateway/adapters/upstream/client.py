"""The upstream over HTTP/1.1: one request out, one whole answer back.

Lives here: connections, the deadline, and what is read before it. Must not: judge an answer,
try twice, ask the budget (all flow's).

httpx's transport is used without its client, which keeps cookies and replays them, reads the
environment, and raises on a redirect whose `Location` it cannot parse. The transport does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import ssl
import sys
from typing import Any

import httpx

from gateway.adapters.upstream.connecting import connect_within
from gateway.adapters.upstream.exchange import Exchange, HungUpError, Phase, told
from gateway.adapters.upstream.message import (
    bounded,
    coded,
    decoded,
    end_to_end,
    is_ours,
    request_fields,
)
from gateway.core.errors import InvalidPayload, UpstreamUnreachable
from gateway.core.http.fields import first
from gateway.core.http.response import Reply
from gateway.core.http.traceparent import sampled_trace_of
from gateway.core.upstream.list_page import PAGE_SIZE
from gateway.core.vocabulary import FailureReason, InvalidReason, Purpose
from gateway.ports import Call, Clock, Deadline, Observer, Write

_CONNECTIONS = 64
_KEPT_IDLE = 16
# Less than usual servers keep an idle connection (Node: 5 s), so that few are closed as we send.
_KEPT_SECONDS = 4.0
_NOWHERE = "http://127.0.0.1:0/"


class HttpxUpstream:
    """The API at `base_url`. Timeouts are in seconds; `max_body`, and of a page of the list
    `max_list_body`, are in bytes, also once decoded.

    `timeout` caps what a call's own deadline allows; `connect_timeout` holds for TCP and again
    for TLS. `passes_codings`: a body in a content coding of another name is handed on as it came,
    with the field that tells so. `tls` replaces the default trust (public authorities, names
    checked).
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
        self._connect_timeout = connect_timeout
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
        # One slot a connection, so that httpcore never queues: see Exchange.
        self._slots = asyncio.Semaphore(connections)
        self._tasks: set[asyncio.Task[Reply]] = set()
        verified = tls or httpx.create_ssl_context(trust_env=False)
        self._transport = _transport(
            verified, connect_timeout, connections, kept=min(connections, _KEPT_IDLE)
        )
        # For retries, each on a new connection.
        self._unkept = _transport(verified, connect_timeout, connections, kept=0)

    async def call(self, call: Call) -> Reply:
        """Send it once and read the whole answer, whatever its status.

        Raises UpstreamUnreachable, UpstreamTimeout or InvalidPayload.
        """
        started = self._clock.monotonic()
        seconds = min(self._timeout, call.deadline - started)
        status = None
        self._observer.call_started(call.purpose)
        try:
            url, fields, most = self._url(call), request_fields(call), self._most(call)
            exchange = self._exchange(url, fields, most, call.write)
            exchange.is_retry = call.purpose is Purpose.RETRY
            reply = await self._within(seconds, exchange)
            status = reply.status
            return reply
        finally:
            seconds = self._clock.monotonic() - started
            trace = sampled_trace_of(first(call.extra, b"traceparent"))
            self._observer.call_ended(call.purpose, status, seconds, trace)

    async def reachable(self) -> None:
        """Open a connection, TLS included, and hang up: no call is spent.

        Raises UpstreamUnreachable or UpstreamTimeout.
        """
        exchange = self._exchange(self._base, [], 0)
        exchange.given_up = True
        with contextlib.suppress(HungUpError):
            await self._within(self._connect_timeout, exchange)

    async def prepare(self) -> None:
        """Have the driver import what it imports at its first call: that holds the loop for more
        than a tenth of a second. Nothing is sent, since nobody listens at that port."""
        _remember_absent("sniffio")
        with contextlib.suppress(httpx.TransportError, OSError):
            await self._transport.handle_async_request(httpx.Request("GET", _NOWHERE))

    async def close(self) -> None:
        """Close all connections, those of calls still under way last."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._connect_timeout)
        await self._transport.aclose()
        await self._unkept.aclose()

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
        """The exchange's outcome, or its failure once the time is over or the caller leaves."""
        if seconds <= 0:
            raise exchange.late()
        task = asyncio.create_task(self._perform(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        try:
            with contextlib.suppress(TimeoutError):
                async with Deadline(seconds):
                    await asyncio.wait({task})
        finally:
            if not task.done():
                exchange.give_up(task)
        if not task.done():
            raise exchange.late()
        return task.result()

    def _ended(self, task: asyncio.Task[Reply]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # an exchange given up has nobody else to look at its outcome

    async def _perform(self, exchange: Exchange) -> Reply:
        async with self._slots:
            exchange.phase = Phase.CONNECTING
            response = await self._head(exchange)
            try:
                body = await _body(response, exchange.max_body)
                if not _ends_with(response):
                    await response.extensions["network_stream"].aclose()
            except (httpx.TransportError, OSError) as error:
                what = f"{exchange.what}: the body was cut short: {told(error)}"
                raise InvalidPayload(InvalidReason.TRUNCATED, what) from error
            finally:
                await response.aclose()
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        fields = end_to_end(response.headers.raw)
        if self._passes_codings and not is_ours(coding):
            return Reply(response.status_code, (*fields, coded(coding)), body)
        return Reply(response.status_code, fields, decoded(body, coding, exchange.max_body))

    async def _head(self, exchange: Exchange) -> httpx.Response:
        # The connection that is kept next may be closed just as well.
        transport = self._unkept if exchange.is_retry else self._transport
        try:
            return await transport.handle_async_request(exchange.request)
        except httpx.LocalProtocolError:
            # Raised before a byte is written; its text repeats the value at fault: a credential.
            what = f"{exchange.what}: a request field is no HTTP"
            raise UpstreamUnreachable(what, FailureReason.PROTOCOL, sent=False) from None
        except (httpx.TransportError, OSError) as error:
            raise exchange.failure(error) from error


def _remember_absent(module: str) -> None:
    """Let each further import of a module that is not installed fail at once. httpcore tries this
    one four times a call, and each time all folders of `sys.path` are searched: a quarter of the
    CPU of a call."""
    if importlib.util.find_spec(module) is None:
        sys.modules[module] = None  # type: ignore[assignment]


def _transport(
    tls: ssl.SSLContext, connect_timeout: float, connections: int, *, kept: int
) -> httpx.AsyncHTTPTransport:
    transport = httpx.AsyncHTTPTransport(
        verify=tls,
        trust_env=False,
        limits=httpx.Limits(
            max_connections=connections,
            max_keepalive_connections=kept,
            keepalive_expiry=_KEPT_SECONDS,
        ),
    )
    # No other limit of httpx's: the deadline of the whole is kept by _within.
    connect_within(transport, connect_timeout)
    return transport


async def _body(response: httpx.Response, most: int) -> bytes:
    # A 304 states the length of the body that it does not carry (RFC 9110, 8.6).
    if response.status_code not in (204, 304):
        bounded(int(response.headers.get("content-length", "0")), most)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        bounded(len(body), most)
    return bytes(body)


def _ends_with(response: httpx.Response) -> bool:
    """Whether nothing came behind the answer: on a kept connection it would be taken for the
    answer to the next call, which may be another caller's.

    httpcore keeps such bytes and tells nobody. Where they cannot be looked at, nothing is kept.
    """
    stream: Any = response.stream
    try:
        behind, _ = stream._httpcore_stream._stream._connection._h11_state.trailing_data
    except AttributeError:
        return False
    return bool(behind == b"")
