"""Reads requests for both planes: ids, names of partitions, and bodies. The size of a body and the
time for it are bounded.

For the data plane this module also defines the state of one request while it is answered
(`Exchange`), how a request ended (`End`), the interface of the access log, and the fields about a
client's rate limit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from gateway.core.access.caller import Caller
from gateway.core.access.registry import Allowance
from gateway.core.errors import BadId, BadRequest, NoRoom, TooLarge
from gateway.core.http.fields import Headers
from gateway.core.http.traceparent import sampled_trace_of, trace_id_of
from gateway.core.upstream.training import is_training_id
from gateway.core.vocabulary import Detail, Outcome, Part, Problem, Tier
from gateway.flow.timings import Spent
from gateway.ports import AccessLine, Deadline, RefusedRequest

ID_GRAMMAR = "an id has 1 to 128 characters (A-Z a-z 0-9 . _ ~ -), and is not `.` or `..`"

TRAININGS: Final = b"/training/"
# The name of the route in spans.
TRAINING_ROUTE: Final = "/training/{id}"

PARTITION = "[0-9a-f]{32}"

_PARTITION = re.compile(PARTITION)


def training_id(raw_path: bytes, prefix: bytes = TRAININGS) -> str | None:
    """The id in the undecoded path. None if the path is not `prefix` with one more segment. Raises
    BadId if this segment is no valid id."""
    if not raw_path.startswith(prefix):
        return None
    raw = raw_path[len(prefix) :]
    if not raw or b"/" in raw:
        return None
    # Latin-1 decodes every byte. A valid id has only ASCII characters.
    decoded = unquote_to_bytes(raw).decode("latin-1")
    if not is_training_id(decoded):
        raise BadId(ID_GRAMMAR)
    return decoded


def peer_of(scope: Scope) -> str:
    """The address of the other end of the connection, without its port. "" for a UNIX socket."""
    peer = scope.get("client")
    return "" if peer is None else str(peer[0])


def raw_path(scope: Scope) -> bytes:
    """The undecoded path. If the ASGI server left it out, the decoded path as UTF-8."""
    raw = scope.get("raw_path")
    if isinstance(raw, bytes):
        return raw
    path: str = scope["path"]
    return path.encode("utf-8")


def is_partition(text: str) -> bool:
    """Whether the text can be the name of a partition."""
    return _PARTITION.fullmatch(text) is not None


_PATIENCE: Final = 10.0


class Room:
    """Bounds the bytes that the bodies of several requests have together, to `most`."""

    def __init__(self, most: int) -> None:
        self._most = self._free = most

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A function that takes a number of bytes for one request. It raises NoRoom if fewer are
        free. When the context ends, what was taken is free again."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if size > self._free:
                what = f"the bodies of writes under way may have {self._most} bytes together"
                raise NoRoom(what)
            self._free -= size
            taken += size

        try:
            yield take
        finally:
            self._free += taken


def _take_any(size: int) -> None:
    pass


async def read_body(
    request: Request,
    most: int,
    patience: float = _PATIENCE,
    take: Callable[[int], None] = _take_any,
) -> bytes:
    """The whole body. Raises TooLarge beyond `most` bytes, and BadRequest if the body is not
    complete within `patience` seconds. `take` is called with the size of each part of the body."""
    try:
        async with Deadline(patience):
            return await _gathered(request, most, take)
    except TimeoutError as error:
        raise BadRequest(f"the body did not arrive within {patience:g} s") from error
    except ClientDisconnect as error:
        raise BadRequest("the connection ended before the whole body arrived") from error


async def _gathered(request: Request, most: int, take: Callable[[int], None]) -> bytes:
    """The whole body. Bytes are counted on arrival, because `Content-Length` can be missing."""
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > most:
            raise TooLarge(f"a body may have {most} bytes at most")
        take(len(chunk))
        body += chunk
    return bytes(body)


class AccessLog(Protocol):
    """The access log. It has a line for some of the answered requests.

    `unlogged` is a list of one number. While the number is above 0, a routine answer (see
    `is_routine`) that took `brief` seconds at most gets no line. For such an answer, lower the
    number by 1, and do not call `weigh`.
    """

    unlogged: list[float]
    brief: float

    def is_routine(self, outcome: Outcome) -> bool:
        """Whether answers with this outcome are routine, if they are neither slow nor errors. Only
        a sample of routine answers is logged."""

    def weigh(
        self, outcome: Outcome, status: int, seconds: float, detail: str | None = None
    ) -> int | None:
        """The log level of an answer (None: `put` is not needed). For each answer, call `weigh`
        once, or lower `unlogged`."""

    def put(self, line: AccessLine, weight: int) -> None:
        """Write the line, or keep it as the example of its kind. Never raises."""


@dataclass(slots=True)
class Exchange:
    """One request while it is answered.

    target  the decoded path of the request, without the query
    peer    the address of the other end of the connection ("": not known)
    began   the monotonic time when the request began
    fields  header fields that are added to the response
    spent   how long the request waits for each `Part`
    path    the request's path (None: it names neither a training nor the collection)
    route   `path` with `{id}` in place of the id
    """

    request_id: str
    method: str
    target: str
    peer: str
    began: float
    spent: Spent
    traceparent: bytes | None = None
    route: str | None = None
    path: str | None = None
    training_id: str | None = None
    caller: Caller | None = None
    fields: Headers = ()

    def name(self, training_id: str | None, path: str) -> None:
        """Set the training (None: the collection), and the path of the request."""
        self.training_id, self.path, self.route = training_id, path, path
        if training_id is not None:
            self.route = TRAINING_ROUTE + path.removeprefix(f"/training/{training_id}")

    def as_refused(self) -> RefusedRequest:
        """The request, for the log."""
        client = "" if self.caller is None else self.caller.client
        return RefusedRequest(self.peer, self.request_id, self.method, self.target, client)

    @property
    def trace_id(self) -> str | None:
        """The id of the caller's trace, or of a trace that began here."""
        return trace_id_of(self.traceparent)

    @property
    def sampled(self) -> bytes | None:
        """The trace id as bytes. None if the trace is not sampled."""
        return sampled_trace_of(self.traceparent)

    @property
    def parts(self) -> Mapping[Part, float] | None:
        """The seconds that the request waited for each part. None if it did not wait."""
        return self.spent.seconds or None


@dataclass(frozen=True, slots=True)
class End:
    """How a request ended, in the words of metrics and logs."""

    outcome: Outcome
    tier: Tier
    detail: Detail | Problem | None


def client_result(status: int, detail: Detail | Problem | None) -> str:
    """How the client's request is counted: `served`, `refused`, or `limited`."""
    if detail is Problem.CLIENT_RATE_LIMITED:
        return "limited"
    return "refused" if status in (401, 403) else "served"


def rate_limit_fields(allowance: Allowance, now: float) -> Headers:
    """The fields about the client's own rate limit (draft-ietf-httpapi-ratelimit-headers-10).

    `r` is the number of requests that
    remain. After `t` seconds without a request, `r` has its highest value again.
    """
    remaining, full_in = allowance.remaining(now), math.ceil(allowance.full_in(now))
    return (
        (b"ratelimit-policy", b'"client";q=%d;w=%d' % (allowance.quota, allowance.seconds)),
        (b"ratelimit", b'"client";r=%d;t=%d' % (remaining, full_in)),
    )
