"""Renders an answer as status, header lines and body, for the hot path and for Starlette.

Lines that never change are made once for each entry (`Held.head`). `Age` and `Cache-Status` count
whole seconds, so that many hits can use the same lines.
"""

from __future__ import annotations

from functools import lru_cache
from math import floor
from typing import NamedTuple

from gateway.core.cache.content_coding import passing_on
from gateway.core.cache.entry import Entry
from gateway.core.cache.entry_headers import (
    Conditions,
    from_lines,
    has_etag,
    is_not_modified,
    to_lines,
)
from gateway.core.http.cache_status import Handling, cache_status
from gateway.core.http.fields import Headers, Reply, end_to_end
from gateway.core.vocabulary import Detail
from gateway.flow.request.response_selection import Answer
from gateway.ports import Held

_NO_STORE = (b"cache-control", b"no-store")
_STALE_NOW = (b"cache-control", b"private, max-age=0")
_OF_FRESHNESS = frozenset({b"cache-control", b"cdn-cache-control", b"expires"})
_BODILESS = frozenset({204, 304})  # sent without Content-Length (RFC 9110, 8.6)
_CACHED_LINES = 8_192


class Rendered(NamedTuple):
    """A response. `age` is in seconds, None if no entry was served."""

    status: int
    lines: bytes
    body: bytes
    age: float | None

    @property
    def headers(self) -> Headers:
        """The header fields."""
        return from_lines(self.lines)


def render(answer: Answer, conditions: Conditions, request_id: bytes, now: float) -> Rendered:
    """The response to a GET. For HEAD, `data/request_context` drops the body."""
    content = answer.content
    if isinstance(content, Reply):
        return _of_a_reply(answer, content, request_id)
    status, lines, moment, body, age = stored(content, answer.handling, conditions, now)
    return Rendered(status, b"%b%bx-request-id: %b\r\n" % (lines, moment, request_id), body, age)


def stored(
    held: Held, handling: Handling, conditions: Conditions, now: float
) -> tuple[int, bytes, bytes, bytes, float]:
    """A response from an entry: status, stored lines, changing lines, body, age."""
    entry = held.entry
    moment, _ = moment_of(entry, handling, now)
    lines = held.head
    if handling.outdated:
        lines = _with_control(held, _STALE_NOW)
    elif handling.not_stored is not None and not held.is_verbatim:
        lines = _with_control(held, _NO_STORE)
    tag, since = conditions.if_none_match, conditions.if_modified_since
    if entry.status == 200 and is_current(tag, since, held):
        return 304, lines[held.brief_at :], moment, b"", entry.age(now)
    return entry.status, lines, moment, entry.body, entry.age(now)


def moment_of(entry: Entry, handling: Handling, now: float) -> tuple[bytes, float]:
    """The lines that change, and the seconds for which they can be reused (0.0: not at all)."""
    age, lifetime = entry.age(now), entry.freshness_lifetime
    if handling.forward is not None or handling.detail is None or handling.outdated:
        return _of_a_fetch(handling, age, lifetime), 0.0
    whole, left = int(age), floor(lifetime - age)
    unchanged = min(whole + 1.0 - age, lifetime - age - left)
    return _of_a_hit(handling.detail, whole, left), unchanged


def is_current(tag: bytes | None, since: bytes | None, held: Held) -> bool:
    """Whether a request with these preconditions gets a 304 in place of a 200."""
    if tag is not None and has_etag(held.head, held.brief_at, tag):
        return True
    return is_not_modified(Conditions(tag, since), held.entry)


def _of_a_fetch(handling: Handling, age: float, lifetime: float) -> bytes:
    came_now = handling.stored or handling.not_stored is not None
    left = lifetime - age
    ttl = None if came_now or (handling.outdated and left >= 0.0) else left
    return b"age: %d\r\ncache-status: %b\r\n" % (age, cache_status(handling, ttl))


@lru_cache(_CACHED_LINES)
def _of_a_hit(detail: Detail, age: int, ttl: int) -> bytes:
    return b"age: %d\r\ncache-status: %b\r\n" % (age, cache_status(Handling(detail), ttl))


def _with_control(held: Held, control: tuple[bytes, bytes]) -> bytes:
    """The entry's lines with this `Cache-Control` in place of all fields about freshness. All
    these fields are after the offset `brief_at`, so the lines before it stay as they are."""
    fields = from_lines(held.head[held.brief_at :])
    told = control[0], passing_on(control[1], held.entry)
    brief = (*(pair for pair in fields if pair[0] not in _OF_FRESHNESS), told)
    return held.head[: held.brief_at] + to_lines(brief)


def _of_a_reply(answer: Answer, reply: Reply, request_id: bytes) -> Rendered:
    """The upstream's reply, passed on."""
    headers = reply.headers if reply.is_verbatim else _uncacheable(reply)
    if reply.status not in _BODILESS:
        headers += ((b"content-length", b"%d" % len(reply.body)),)
    headers += (
        (b"cache-status", cache_status(answer.handling, None)),
        (b"x-request-id", request_id),
    )
    return Rendered(reply.status, to_lines(headers), reply.body, None)


def _uncacheable(reply: Reply) -> Headers:
    """The reply's header fields with `no-store` and without validators, because callers must not
    store the reply."""
    headers = tuple(
        pair for pair in end_to_end(reply.headers) if pair[0] not in (b"etag", b"last-modified")
    )
    date = reply.header(b"date")
    return (*headers, _NO_STORE) if date is None else (*headers, _NO_STORE, (b"date", date))
