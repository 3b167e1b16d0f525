"""The API that we protect, and the calls that are made to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.http.fields import Headers, Reply
from gateway.core.vocabulary import Purpose
from gateway.ports.telemetry import Span


@dataclass(frozen=True, slots=True)
class Write:
    """A caller's write. `path` begins after the root of the API, and is sent unchanged. `fields`
    are the header fields to pass on."""

    method: str
    path: str
    body: bytes = field(repr=False)
    fields: Headers = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the upstream.

    purpose      why the call is made. A `retry` uses a new connection
    deadline     for the whole call, on the monotonic clock
    etag         the validators `etag` and `last_modified` are sent if they are given
    extra        request fields to pass on
    guessed      whether the upstream probably has no such training. If so, a call with the purpose
                 `miss` has the lowest priority
    who          names the caller, so that no caller takes all places in the queue of waiting calls
    offset       if given, the call asks for the page of the list that begins with the training at
                 this position, and not for a single training
    write        if given, the call is this write, and is never sent twice
    span         the span of the call, if its trace is kept
    before_send  awaited when the call has its connection, just before the call is sent. Awaited
                 again if this connection ended meanwhile, and the call needs another one. If
                 `before_send` raises, the call is not sent
    """

    training_id: str
    token: str = field(repr=False)
    purpose: Purpose
    deadline: float
    etag: bytes | None = None
    last_modified: bytes | None = None
    extra: Headers = ()
    guessed: bool = False
    who: str = ""
    offset: int | None = None
    write: Write | None = None
    span: Span | None = field(default=None, repr=False, compare=False)
    before_send: Callable[[], Awaitable[None]] | None = field(
        default=None, repr=False, compare=False
    )


class Upstream(Protocol):
    """The API that we protect."""

    async def call(self, call: Call) -> Reply:
        """Send the call once and read the whole answer, whatever its status is.

        Raises UpstreamUnreachable or UpstreamTimeout. Raises InvalidPayload if the body is too
        large, is cut short, or cannot be decoded.
        """
        ...
