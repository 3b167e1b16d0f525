"""An answer as status, header fields and body: both ways out use it.

What is true for an entry's whole life was rendered when it was stored; here come the fields
of the moment.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.entry import Headers
from gateway.core.headers import (
    Conditions,
    cache_status,
    end_to_end,
    is_not_modified,
    not_modified_fields,
)
from gateway.core.reply import Reply
from gateway.flow.serve import Answer
from gateway.ports import Held

_NO_STORE = (b"cache-control", b"no-store")


@dataclass(frozen=True, slots=True)
class Rendered:
    """What goes out; `age` in seconds where an entry was served."""

    status: int
    headers: Headers
    body: bytes
    age: float | None


def render(answer: Answer, conditions: Conditions, request_id: bytes, now: float) -> Rendered:
    """The response to a GET; for HEAD the body is left out, the fields stay."""
    if isinstance(answer.content, Reply):
        return _passed(answer, answer.content, request_id)
    return _stored(answer, answer.content, conditions, request_id, now)


def _stored(
    answer: Answer, held: Held, conditions: Conditions, request_id: bytes, now: float
) -> Rendered:
    entry = held.entry
    age = max(0.0, entry.age(now))
    came_now = answer.handling.stored or answer.handling.not_stored is not None
    ttl = None if came_now else entry.freshness_lifetime - age
    moment = (
        (b"age", b"%d" % int(age)),
        (b"cache-status", cache_status(answer.handling, ttl)),
        (b"x-request-id", request_id),
    )
    head = held.head
    if answer.handling.not_stored is not None:
        head = (*(pair for pair in head if pair[0] != b"cache-control"), _NO_STORE)
    if entry.status == 200 and is_not_modified(conditions, head):
        return Rendered(304, not_modified_fields(head) + moment, b"", age)
    return Rendered(entry.status, head + moment, entry.body, age)


def _passed(answer: Answer, reply: Reply, request_id: bytes) -> Rendered:
    headers = tuple(
        pair for pair in end_to_end(reply.headers) if pair[0] not in (b"etag", b"last-modified")
    )
    date = reply.header(b"date")
    headers += (
        (b"content-length", b"%d" % len(reply.body)),
        _NO_STORE,
        (b"cache-status", cache_status(answer.handling, None)),
        (b"x-request-id", request_id),
    )
    return Rendered(
        reply.status, headers if date is None else (*headers, (b"date", date)), reply.body, None
    )
