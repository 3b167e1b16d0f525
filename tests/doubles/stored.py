"""Entries as a fetch would make them."""

from __future__ import annotations

from gateway.core.cache.entry import Entry, FetchStart
from gateway.core.cache.entry_headers import head_of
from gateway.core.cache.marks import Ticket, Words
from gateway.core.http.fields import Headers
from gateway.core.instant import Instant, to_rfc3339
from gateway.core.upstream.training import digest
from gateway.ports import Held

VERSION = Instant(1_700_000_000_123_456_789)
HEADERS: Headers = ((b"content-type", b"application/json"), (b"x-cluster", b"eu-1"))
WORDS = Ticket(*(Words(*(f"{n:016x}" for n in range(at, at + 3))) for at in (1, 4, 7)))
START = FetchStart(1_700_000_000.0, WORDS)


def version(later: int = 0) -> Instant:
    """A version so many nanoseconds after the one that tests begin with."""
    return Instant(VERSION + later)


def entry_of(
    start: FetchStart = START,
    updated_at: Instant | None = VERSION,
    body: bytes | None = None,
    headers: Headers = HEADERS,
) -> Entry:
    """What a fetch that began with `start` brought; no `updated_at` makes it a 404."""
    text = "" if updated_at is None else to_rfc3339(updated_at)
    if body is None:
        body = f'{{"updated_at": "{text}"}}'.encode()
    return Entry(
        status=404 if updated_at is None else 200,
        headers=headers,
        body=body,
        updated_at=updated_at,
        updated_at_text=text,
        digest=digest(body),
        date="Tue, 14 Nov 2023 22:13:20 GMT",
        confirmed_at=start.started,
        initial_age=0.0,
        freshness_lifetime=30.0,
        started=start.started,
        ticket=start.ticket,
    )


def held_of(entry: Entry, checked_at: float = 0.0) -> Held:
    """The entry as L1 holds it."""
    return Held(entry, *head_of(entry, vary=True), checked_at)
