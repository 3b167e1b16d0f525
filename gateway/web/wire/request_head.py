"""Checks request heads, refuses invalid ones, and reads the fields of valid ones.

The parser has already refused heads that break the grammar. The rules of this module apply to all
requests: to those that the hot path answers, and to those that go to Starlette.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.core.access.caller import Caller
from gateway.core.cache.content_coding import takes_gzip
from gateway.core.cache.entry import Key
from gateway.core.errors import BadRequest
from gateway.core.http.cache_control import wants_only_if_cached
from gateway.core.http.fields import Headers, is_sound
from gateway.core.http.memoized import memoized
from gateway.core.http.traceparent import TRACEPARENT, sound_of, trace_id_of
from gateway.core.instant import Instant, parse_instant
from gateway.core.vocabulary import AccessRefusal, Problem
from gateway.flow.request.response_selection import Ask
from gateway.web.problems import ProblemAnswer

Fields = list[tuple[bytes, bytes]]

# About how many bytes a request line has without its target.
_LINE: Final = 16
_VERSIONS = ("1.1", "1.0")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*[ \t]*")
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)((?:[/?][^#]*)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one plane. Sizes in bytes, times in seconds."""

    max_head: int
    max_fields: int
    max_body: int
    max_connections: int
    head_timeout: float
    write_timeout: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: the reason for metrics and logs, and the problem for the caller."""

    reason: AccessRefusal
    problem: ProblemAnswer

    def written(self, request_id: str, date: str) -> bytes:
        """The whole response, with `Connection: close`."""
        body = self.problem.body(request_id)
        lines = [STATUS_LINE[self.problem.status]]
        for name, value in self.problem.headers(request_id, date, len(body)):
            lines += (name, b": ", value, b"\r\n")
        return b"".join((*lines, b"connection: close\r\n\r\n", body))


def fault_of(version: str, target: bytes, fields: Fields, limits: Limits) -> Refusal | None:
    """The fault of a head, None if the head is valid. Field names are in lower case."""
    if len(fields) > limits.max_fields:
        return large_head(limits)
    if version not in _VERSIONS:
        return malformed("the version must be HTTP/1.1 or HTTP/1.0")
    if target[:1] != b"/" or b"#" in target:
        return malformed("the target must be a path or an HTTP URL, without a fragment")
    names = [name for name, _ in fields]
    if names.count(b"host") != 1 and (version == "1.1" or b"host" in names):
        return malformed("a request must have exactly one `Host` (RFC 9112, 3.2)")
    if b"host" in names and not is_host(fields[names.index(b"host")][1]):
        return malformed("the value of `Host` is not a valid host")
    if names.count(b"authorization") > 1:
        return malformed("a request may have one `Authorization` at most")
    if b"transfer-encoding" in names:
        coding = fields[names.index(b"transfer-encoding")][1].strip().lower()
        if coding != b"chunked" or version == "1.0":
            return malformed("`Transfer-Encoding` must be `chunked`, and needs HTTP/1.1")
    if b"content-length" in names:
        length = int(fields[names.index(b"content-length")][1])
        return long_body(limits) if length > limits.max_body else None
    return None


@memoized(256)
def is_host(value: bytes) -> bool:
    """Whether this is a valid `Host`. Results are remembered, because callers send the same few
    values again."""
    return _HOST.fullmatch(value) is not None


def relative(target: bytes, fields: Fields) -> tuple[bytes, Fields]:
    """The path of a target in absolute form, and the fields with the target's authority as `Host`
    (RFC 9112, 3.2.2). Any other target is returned unchanged."""
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        return target, fields
    moved = [(name, match[1] if name == b"host" else value) for name, value in fields]
    return match[2] if match[2][:1] == b"/" else b"/" + match[2], moved


def size_of(target: bytes, fields: Fields) -> int:
    """About how many bytes a head has on the wire."""
    return len(target) + sum(len(name) + len(value) + 4 for name, value in fields) + _LINE


def malformed(detail: str) -> Refusal:
    """A refusal with status 400. `detail` says what was expected."""
    return Refusal(AccessRefusal.MALFORMED, ProblemAnswer(Problem.BAD_REQUEST, detail))


def large_head(limits: Limits) -> Refusal:
    """A refusal with status 431."""
    detail = f"a head may have {limits.max_head} bytes and {limits.max_fields} fields at most"
    return Refusal(AccessRefusal.HEAD_TOO_LARGE, ProblemAnswer(Problem.HEAD_TOO_LARGE, detail))


def slow_head(limits: Limits) -> Refusal:
    """A refusal with status 408."""
    detail = f"a request head must be complete within {limits.head_timeout:g} s"
    return Refusal(AccessRefusal.HEAD_TOO_SLOW, ProblemAnswer(Problem.HEAD_TOO_SLOW, detail))


def long_body(limits: Limits) -> Refusal:
    """A refusal with status 413."""
    detail = f"a body may have {limits.max_body} bytes at most"
    return Refusal(AccessRefusal.BODY_TOO_LARGE, ProblemAnswer(Problem.TOO_LARGE, detail))


def no_room() -> Refusal:
    """A refusal with status 503."""
    detail = "all connections of this replica are taken"
    answer = ProblemAnswer(Problem.TOO_MANY_CONNECTIONS, detail, retry_after=1.0)
    return Refusal(AccessRefusal.TOO_MANY_CONNECTIONS, answer)


# The form of an accepted request id.
REQUEST_ID: Final = rb"[A-Za-z0-9._~:+/=@-]{1,128}"

_REQUEST_ID = re.compile(REQUEST_ID)


class PlainHead:
    """The fields of a plain head. An absent field is None. An invalid `X-Request-ID` or
    `traceparent` counts as absent.

    sent   the value of `Authorization`, empty if it is absent
    extra  the caller's fields that a call to the API sends. None: only the `traceparent`, if any
    """

    __slots__ = (
        *("extra", "only_if_cached", "request_id", "sent", "since", "tag", "takes_gzip"),
        "traceparent",
    )

    def __init__(self, fields: dict[bytes, bytes], extra: Headers | None) -> None:
        given = fields.get
        self.sent = given(b"authorization", b"")
        self.tag, self.since = given(b"if-none-match"), given(b"if-modified-since")
        self.request_id = request_id_of(given(b"x-request-id"))
        self.traceparent = sound_of(given(b"traceparent"))
        control = given(b"cache-control")
        self.only_if_cached = control is not None and wants_only_if_cached(control)
        self.takes_gzip = takes_gzip(given(b"accept-encoding"))
        self.extra = extra

    @property
    def trace_id(self) -> str | None:
        """The id of the caller's trace."""
        return trace_id_of(self.traceparent)

    def ask(self, caller: Caller, training_id: str) -> Ask:
        """The request of this caller for a training."""
        extra, trace = self.extra, self.traceparent
        if extra is None:
            extra = () if trace is None else ((b"traceparent", trace),)
        return Ask(Key(caller.partition, training_id), caller, self.only_if_cached, extra)

    def take_trace(self, traceparent: bytes) -> None:
        """Set a valid `traceparent`. From now on it is the only field of the caller that is sent
        upstream."""
        self.traceparent, self.extra = traceparent, None

    def copy(self) -> PlainHead:
        """A copy with the same values."""
        said = PlainHead.__new__(PlainHead)
        said.sent, said.since, said.only_if_cached = self.sent, self.since, self.only_if_cached
        said.tag, said.request_id = self.tag, self.request_id
        said.traceparent, said.extra = self.traceparent, self.extra
        said.takes_gzip = self.takes_gzip
        return said

    def without_cut_values(self) -> PlainHead:
        """A copy without the values of the lines that head_cache cuts out, and without `extra`."""
        said = self.copy()
        said.tag = said.request_id = said.traceparent = said.extra = None
        return said


def request_id_of(given: bytes | None) -> bytes | None:
    """The caller's own request id, if it is valid."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else None


def extra_of(fields: Sequence[tuple[bytes, bytes]], forwarded: frozenset[bytes]) -> Headers:
    """The fields of the caller that a call sends upstream."""
    return tuple(
        [
            (name, value.strip())
            for name, value in fields
            if (name == b"traceparent" or name in forwarded) and _is_fit(name, value)
        ]
    )


def _is_fit(name: bytes, value: bytes) -> bool:
    """Whether the field is valid. An invalid one would make the call fail for all callers that wait
    for its answer."""
    if name == b"traceparent":
        return TRACEPARENT.fullmatch(value.strip()) is not None
    return is_sound(value)


def at_least_of(value: bytes | None) -> Instant | None:
    """The version in `Training-Min-Updated-At`. Raises BadRequest."""
    if value is None:
        return None
    try:
        return parse_instant(value.decode("ascii").strip(" \t"))
    except ValueError as fault:
        raise BadRequest("Training-Min-Updated-At is no date-time with an offset") from fault
