"""One request under way: how far it has come, how to give it up, what its failure means.

The only place where httpx's exceptions become ours. Must not: read bodies, know fields.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import Any

import httpx

from gateway.core.errors import UpstreamFailure, UpstreamTimeout, UpstreamUnreachable
from gateway.core.http.response import Reply
from gateway.core.vocabulary import FailureReason


class Phase(IntEnum):
    """How far an exchange has come; from SENT on, bytes may have left."""

    QUEUED = 0
    CONNECTING = 1
    SECURING = 2
    SENT = 3
    CLOSING = 4


_CONNECTING = "connection.connect_tcp.started"
_SENDING = "http11.send_request_headers.started"
# httpcore's words for an end where a response should begin.
_ENDED = "Server disconnected without sending a response."
_PHASES = {
    "connection.start_tls.started": Phase.SECURING,
    _SENDING: Phase.SENT,
    "http11.response_closed.started": Phase.CLOSING,
}
_LATE = {
    Phase.QUEUED: FailureReason.POOL_TIMEOUT,
    Phase.CONNECTING: FailureReason.CONNECT_TIMEOUT,
    Phase.SECURING: FailureReason.CONNECT_TIMEOUT,
}


class HungUpError(Exception):
    """The connection stands and nothing is sent on it, since nobody waits any more."""


class Exchange:
    """One request under way, followed through httpcore's trace, and how to give it up.

    httpcore never gets back the slot of a connection whose request was cancelled while it was
    queued or connecting (encode/httpcore#1093, #1099), nor while it is being put back. So it is
    cancelled outside of those phases only; in them it ends by its own timeouts, sending nothing.
    `max_body` (bytes) is what its answer may bring.
    """

    def __init__(self, request: httpx.Request, max_body: int) -> None:
        self.request = request
        self.max_body = max_body
        self.what = f"{request.method} {request.url}"
        self.phase = Phase.QUEUED
        self.given_up = False
        self.is_retry = False  # goes on a new connection
        self.is_kept = True  # sent on a connection of an earlier request
        request.extensions["trace"] = self._follow

    # The signature is httpcore's.
    async def _follow(self, event: str, _info: dict[str, Any]) -> None:
        if event == _SENDING and self.given_up:
            raise HungUpError
        if event == _CONNECTING:
            self.is_kept = False
        self.phase = _PHASES.get(event, self.phase)

    @property
    def sent(self) -> bool:
        """Whether the request may have left."""
        return self.phase >= Phase.SENT

    def give_up(self, task: asyncio.Task[Reply]) -> None:
        """See to it that the task ends soon, and sends nothing that it has not sent."""
        self.given_up = True
        if self.phase in (Phase.QUEUED, Phase.SENT):
            task.cancel()

    def late(self) -> UpstreamTimeout:
        """What it means that the time is over now."""
        reason = _LATE.get(self.phase, FailureReason.READ_TIMEOUT)
        what = f"{self.what}: no whole answer in time"
        return UpstreamTimeout(what, reason, sent=self.sent)

    def failure(self, error: Exception) -> UpstreamFailure:
        """What an error before the end of the head means."""
        if isinstance(error, httpx.TimeoutException):
            return self.late()
        reason = FailureReason.PROTOCOL if self.sent else FailureReason.CONNECT
        if self.phase is Phase.SECURING:
            reason = FailureReason.TLS
        what, was_kept = f"{self.what}: {told(error)}", self.is_kept and _has_ended(error)
        return UpstreamUnreachable(what, reason, sent=self.sent, was_kept=self.sent and was_kept)


def _has_ended(error: Exception) -> bool:
    """Whether the connection ended, by a close or a reset; TLS failures and nonsense are others."""
    if isinstance(error, httpx.RemoteProtocolError):
        return str(error) == _ENDED
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ConnectionError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def told(error: Exception) -> str:
    """The error in a few words, without the bytes that h11 repeats: they may be anybody's."""
    return f"{type(error).__name__} {error}".partition(": bytearray")[0][:200]
