"""One request under way: how far it has come, and what its failure means.

The only place where httpx's exceptions become ours. Must not: read bodies, know fields.
"""

from __future__ import annotations

from enum import IntEnum

import httpx

from gateway.adapters.upstream.http1_connection import ENDED
from gateway.core.errors import UpstreamFailure, UpstreamTimeout, UpstreamUnreachable
from gateway.core.vocabulary import FailureReason


class Phase(IntEnum):
    """How far an exchange has come; from SENT on, bytes may have left."""

    QUEUED = 0
    CONNECTING = 1
    SECURING = 2
    SENT = 3


_LATE = {
    Phase.QUEUED: FailureReason.POOL_TIMEOUT,
    Phase.CONNECTING: FailureReason.CONNECT_TIMEOUT,
    Phase.SECURING: FailureReason.CONNECT_TIMEOUT,
}


class Exchange:
    """One request under way: how far it has come, and what its failure means. `max_body` (bytes)
    is what its response may bring."""

    def __init__(self, request: httpx.Request, max_body: int) -> None:
        self.request = request
        self.max_body = max_body
        self.what = f"{request.method} {request.url}"
        self.phase = Phase.QUEUED
        self.is_retry = False  # goes on a new connection
        self.is_kept = False  # sent on a connection of an earlier request
        request.extensions["exchange"] = self

    @property
    def sent(self) -> bool:
        """Whether the request may have left."""
        return self.phase >= Phase.SENT

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
        return str(error) == ENDED
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ConnectionError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def told(error: Exception) -> str:
    """The error in a few words."""
    return f"{type(error).__name__} {error}"[:200]
