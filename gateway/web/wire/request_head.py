"""Is this request head sound, and within its bounds? What is answered where it is not.

The parser has refused what breaks the grammar; here is what it lets pass. Nothing here knows
connections (see `connection`), nor what a request means (that is for the planes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.core.vocabulary import AccessRefusal, Problem
from gateway.web.problems import ProblemAnswer

Fields = list[tuple[bytes, bytes]]

# What a request line has beside its target.
_LINE: Final = 16
_VERSIONS = ("1.1", "1.0")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*[ \t]*")
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)((?:[/?][^#]*)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds; connections of one plane."""

    max_head: int
    max_fields: int
    max_body: int
    max_connections: int
    head_timeout: float
    write_timeout: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """The word for metrics and logs, and what the caller is told."""

    reason: AccessRefusal
    problem: ProblemAnswer

    def written(self, request_id: str, date: str) -> bytes:
        """The whole response, after which the connection is closed."""
        body = self.problem.body(request_id)
        lines = [STATUS_LINE[self.problem.status]]
        for name, value in self.problem.headers(request_id, date, len(body)):
            lines += (name, b": ", value, b"\r\n")
        return b"".join((*lines, b"connection: close\r\n\r\n", body))


def fault_of(version: str, target: bytes, fields: Fields, limits: Limits) -> Refusal | None:
    """What is wrong with a head, None where nothing is; names in lower case."""
    if len(fields) > limits.max_fields:
        return large_head(limits)
    if version not in _VERSIONS:
        return malformed("spoken here are HTTP/1.1 and HTTP/1.0")
    if target[:1] != b"/" or b"#" in target:
        return malformed("a request is for a path, without a fragment")
    names = [name for name, _ in fields]
    if names.count(b"host") != 1 and (version == "1.1" or b"host" in names):
        return malformed("a request has exactly one `Host` (RFC 9112, 3.2)")
    if b"host" in names and not is_host(fields[names.index(b"host")][1]):
        return malformed("`Host` is no host")
    if names.count(b"authorization") > 1:
        return malformed("a request has one `Authorization` at most")
    if b"transfer-encoding" in names:
        coding = fields[names.index(b"transfer-encoding")][1].strip().lower()
        if coding != b"chunked" or version == "1.0":
            return malformed("`Transfer-Encoding` may be `chunked`, in HTTP/1.1")
    if b"content-length" in names:
        length = int(fields[names.index(b"content-length")][1])
        return long_body(limits) if length > limits.max_body else None
    return None


@lru_cache(256)
def is_host(value: bytes) -> bool:
    """Whether it can stand in `Host`; callers say the same few again and again."""
    return _HOST.fullmatch(value) is not None


def relative(target: bytes, fields: Fields) -> tuple[bytes, Fields]:
    """A target in absolute form as the path it names, its authority in the place of `Host`
    (RFC 9112, 3.2.2), so that no rule about `Host` is passed by; anything else as it came."""
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        return target, fields
    moved = [(name, match[1] if name == b"host" else value) for name, value in fields]
    return match[2] if match[2][:1] == b"/" else b"/" + match[2], moved


def size_of(target: bytes, fields: Fields) -> int:
    """A head's bytes on the wire, to within a few of the request line."""
    return len(target) + sum(len(name) + len(value) + 4 for name, value in fields) + _LINE


def malformed(detail: str) -> Refusal:
    """400: `detail` says what was expected."""
    return Refusal(AccessRefusal.MALFORMED, ProblemAnswer(Problem.BAD_REQUEST, detail))


def large_head(limits: Limits) -> Refusal:
    """431."""
    detail = f"a request head has {limits.max_head} bytes and {limits.max_fields} fields at most"
    return Refusal(AccessRefusal.HEAD_TOO_LARGE, ProblemAnswer(Problem.HEAD_TOO_LARGE, detail))


def slow_head(limits: Limits) -> Refusal:
    """408."""
    detail = f"a request head is complete within {limits.head_timeout:g} s"
    return Refusal(AccessRefusal.HEAD_TOO_SLOW, ProblemAnswer(Problem.HEAD_TOO_SLOW, detail))


def long_body(limits: Limits) -> Refusal:
    """413."""
    detail = f"a body has {limits.max_body} bytes at most"
    return Refusal(AccessRefusal.BODY_TOO_LARGE, ProblemAnswer(Problem.TOO_LARGE, detail))


def no_room() -> Refusal:
    """503: come back in a second, perhaps to another replica."""
    detail = "all connections of this replica are taken"
    answer = ProblemAnswer(Problem.TOO_MANY_CONNECTIONS, detail, retry_after=1.0)
    return Refusal(AccessRefusal.TOO_MANY_CONNECTIONS, answer)
