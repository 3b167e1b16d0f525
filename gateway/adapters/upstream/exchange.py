"""One request that is under way: how far it has come, and what its failure means."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import httpcore
import httpx

from gateway.core.errors import UpstreamTimeout, UpstreamUnreachable
from gateway.core.vocabulary import FailureReason
from gateway.ports import Attributes


class Phase(IntEnum):
    """How far a request has come."""

    QUEUED = 0
    CONNECTING = 1
    SECURING = 2
    SENT = 3


_LATE: Final = {
    Phase.QUEUED: FailureReason.POOL_TIMEOUT,
    Phase.CONNECTING: FailureReason.CONNECT_TIMEOUT,
    Phase.SECURING: FailureReason.CONNECT_TIMEOUT,
    Phase.SENT: FailureReason.READ_TIMEOUT,
}
_LATE_WORDS: Final = {
    Phase.QUEUED: "no connection was free",
    Phase.CONNECTING: "no connection",
    Phase.SECURING: "no TLS connection",
    Phase.SENT: "no whole response",
}


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request that is under way: how far it has come, and what its failure means. `is_new`: it
    needs a new connection, which no other request uses later."""

    method: str = "GET"
    url: httpx.URL
    query: bytes = b""  # of a write, with its `?`. No message repeats it
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    max_body: int = 0
    token: str = field(default="", repr=False)
    before_send: Callable[[], Awaitable[None]] | None
    is_retry: bool = False
    is_new: bool = False
    phase: Phase = Phase.QUEUED
    is_kept: bool = True  # sent on a connection of an earlier request

    @property
    def what(self) -> str:
        """The request, in messages."""
        return f"{self.method} {self.url}"

    def late(self) -> UpstreamTimeout:
        """The error if the deadline passes now."""
        what = f"{self.what}: {_LATE_WORDS[self.phase]} in time"
        return UpstreamTimeout(what, _LATE[self.phase], sent=self.phase is Phase.SENT)

    def failure(self, error: Exception) -> UpstreamUnreachable:
        """The gateway's error for `error`, which came before the head of the response was
        complete."""
        has_ended = _has_ended(error)
        match self.phase:
            case Phase.QUEUED | Phase.CONNECTING:
                reason, why = FailureReason.CONNECT, f"no connection: {words(error)}"
            case Phase.SECURING:
                reason, why = FailureReason.TLS, f"no TLS connection: {words(error)}"
            case Phase.SENT if has_ended:
                reason = FailureReason.RESET
                why = "the upstream, or a proxy, ended the connection and sent no response"
            case Phase.SENT:
                reason, why = FailureReason.PROTOCOL, "no valid HTTP/1.1 response"
        is_sent = self.phase is Phase.SENT
        was_kept = is_sent and self.is_kept and has_ended
        return UpstreamUnreachable(f"{self.what}: {why}", reason, sent=is_sent, was_kept=was_kept)


def _has_ended(error: Exception) -> bool:
    """Whether the connection was closed or reset before the head of the response was complete.
    httpcore has no class of its own for a connection that was closed."""
    is_closed = isinstance(error, httpcore.RemoteProtocolError) and "disconnected" in str(error)
    return is_closed or isinstance(error, httpcore.NetworkError)


def words(error: Exception) -> str:
    """Why there is no connection, for a reader that does not know Python."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate was not accepted ({error.verify_message})"
        case ssl.SSLError():
            why = (error.reason or "an unknown error").replace("_", " ").lower()
            return f"the server does not speak TLS as expected ({why})"
        case socket.gaierror() if error.errno == socket.EAI_AGAIN:
            return "no name server answered"
        case socket.gaierror() | UnicodeError():
            return "there is no such host name"
        case OSError() if error.errno:
            return os.strerror(error.errno).lower()
    return "the server closed it"


def span_attributes(exchange: Exchange) -> Attributes:
    """The attributes of the call's span (HTTP semantic conventions), without header fields."""
    url = exchange.url
    told: dict[str, str | int] = {
        "http.request.method": exchange.method,
        "url.full": str(url),
        "server.address": url.host,
        "server.port": url.port or (443 if url.scheme == "https" else 80),
    }
    return told | ({"http.request.resend_count": 1} if exchange.is_retry else {})
