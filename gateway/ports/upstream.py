"""The API that the gateway protects, and the calls to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.http.fields import Headers, Reply
from gateway.core.vocabulary import Purpose
from gateway.ports.telemetry import Span


@dataclass(frozen=True, slots=True)
class Write:
    """A caller's write. `path` and `query` (with its `?`) follow the base URL of the API, and are
    sent unchanged."""

    method: str
    path: str
    body: bytes = field(repr=False)
    fields: Headers = ()
    query: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the upstream.

    training_id  for a page or a write without an id: a name that is no id
    purpose      why the call is made. A `retry` uses a new connection
    deadline     the monotonic time at which the whole call has to be over
    who          identifies the caller (`Caller.who`), so that no caller takes all places in the
                 queue of waiting calls
    offset       the position at which a page of the list begins. None: the call is for no page
    query        the query of a caller for a page. None: the page has as many items as possible
    write        the write that the call sends. A write is not tried again. None: the call reads
    span         None: the trace of the call is not kept
    when_paid    called when the call was granted by the budget
    before_send  awaited when the call has its connection, and again if it needs another one. If
                 `before_send` raises, the call is not sent
    """

    training_id: str
    token: str = field(repr=False)
    purpose: Purpose
    deadline: float
    etag: bytes | None = None
    last_modified: bytes | None = None
    extra: Headers = ()
    who: str = ""
    offset: int | None = None
    query: bytes | None = field(default=None, repr=False)
    write: Write | None = None
    span: Span | None = field(default=None, repr=False, compare=False)
    when_paid: Callable[[], None] | None = field(default=None, repr=False, compare=False)
    before_send: Callable[[], Awaitable[None]] | None = field(
        default=None, repr=False, compare=False
    )


class Upstream(Protocol):
    """The API that we protect."""

    async def call(self, call: Call) -> Reply:
        """Try to send the call, one time only, and read the whole answer, whatever its status is.

        Raises UpstreamUnreachable or UpstreamTimeout. Raises InvalidPayload if the body is too
        large, is cut short, or cannot be decoded.
        """
