"""What is stored of a reply: bytes as they came, lifetimes never longer than promised."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cache.content_coding import NO_TRANSFORM
from gateway.core.cache.entry import Entry, Ticket
from gateway.core.cache.policy import Windows, admit, renew, why_not_stored
from gateway.core.http.fields import Headers, Reply
from gateway.core.upstream.training import Training, digest
from gateway.core.vocabulary import NotStoredReason
from tests.doubles.stored import entry_of, version

SENT = 1_700_000_000.25
TICKET = Ticket("epoch", 7, SENT)
LATER = Ticket("epoch", 9, SENT + 40.0)
DEFAULTS = Windows()
UPSTREAMS_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
ERROR = b'{"statusCode":404,"message":"Not Found"}'

jitters = st.floats(0.0, 1.0, exclude_max=True)
spans = st.floats(0.0, 1e6)


def training_of(body: bytes) -> Training:
    """A body as judge would have found it good."""
    return Training("t1", version(5), "2025-01-01T00:00:00Z", body)


def admitted(headers: Headers = (), body: bytes = b"{}") -> Entry:
    """What is stored of a 200."""
    return admit(Reply(200, headers, body), training_of(body), TICKET, DEFAULTS, 0.0)


def renewed(entry: Entry, *headers: tuple[bytes, bytes]) -> Entry:
    """The entry after a 304 with these fields."""
    return renew(entry, Reply(304, headers, b""), LATER, DEFAULTS, 0.0)


@given(st.binary(max_size=60), jitters)
def test_admit_keeps_the_bytes(body: bytes, jitter: float) -> None:
    """Body, version and its text are stored as received, and the digest is the body's."""
    training = training_of(body)

    entry = admit(Reply(200, (), body), training, TICKET, DEFAULTS, jitter)

    assert (entry.status, entry.body, entry.digest) == (200, body, digest(body))
    assert (entry.updated_at, entry.updated_at_text) == (version(5), training.updated_at_text)


def test_admit_shows_the_ticket() -> None:
    """Epoch, generation and time are those from before the call, not from after it."""
    entry = admitted()

    assert (entry.epoch, entry.generation, entry.confirmed_at) == ("epoch", 7, SENT)


@given(spans, spans, jitters, st.sampled_from([200, 404, 410]))
def test_a_lifetime_is_never_longer_than_promised(
    lifetime: float, negative_lifetime: float, jitter: float, status: int
) -> None:
    """Jitter shortens it, by a tenth at most; a negative entry has its own."""
    windows = Windows(lifetime=lifetime, negative_lifetime=negative_lifetime)
    training = training_of(b"{}") if status == 200 else None
    promised = lifetime if status == 200 else negative_lifetime

    entry = admit(Reply(status, (), b"{}"), training, TICKET, windows, jitter)

    assert promised * 0.9 <= entry.freshness_lifetime <= promised


@given(spans, jitters)
def test_a_renewed_lifetime_is_never_longer_than_promised(lifetime: float, jitter: float) -> None:
    """A 304 begins the same lifetime anew, whatever the old one was."""
    windows = Windows(lifetime=lifetime)

    entry = renew(admitted(), Reply(304, (), b""), LATER, windows, jitter)

    assert lifetime * 0.9 <= entry.freshness_lifetime <= lifetime


def test_jitter_spreads_over_the_whole_tenth() -> None:
    """Entries stored together do not become stale together."""
    training, reply = training_of(b"{}"), Reply(200, (), b"{}")

    longest = admit(reply, training, TICKET, DEFAULTS, 0.0)
    middle = admit(reply, training, TICKET, DEFAULTS, 0.5)

    assert longest.freshness_lifetime == 30.0
    assert middle.freshness_lifetime == pytest.approx(28.5)


@pytest.mark.parametrize("status", [404, 410])
def test_no_training_makes_a_negative_entry(status: int) -> None:
    """The API's own words are remembered, without a version."""
    entry = admit(Reply(status, (), ERROR), None, TICKET, DEFAULTS, 0.0)

    assert entry.is_negative
    assert (entry.status, entry.body, entry.updated_at_text) == (status, ERROR, "")
    assert entry.freshness_lifetime == 10.0


def test_only_end_to_end_fields_are_stored() -> None:
    """A cookie or a connection's field never reaches another caller."""
    fields = ((b"set-cookie", b"a=b"), (b"connection", b"x-own"), (b"x-own", b"1"))

    assert admitted((*fields, (b"server", b"cloudflare"))).headers == ((b"server", b"cloudflare"),)
    assert renewed(admitted(), *fields).headers == ()


@given(st.integers(0, 10**9), st.floats(0.0, 1e6))
def test_age_includes_the_upstreams(reported: int, passed: float) -> None:
    """Whoever cached it before us, and the time of the call, count (RFC 9111, 4.2.3)."""
    fields = ((b"age", b"%d" % reported),)

    assert admitted(fields).age(SENT + passed) == pytest.approx(reported + passed, abs=1e-6)
    assert renewed(admitted(), *fields).age(SENT + 40.0 + passed) == pytest.approx(
        reported + passed, abs=1e-6
    )


@pytest.mark.parametrize(
    ("date", "kept"),
    [
        (UPSTREAMS_DATE, UPSTREAMS_DATE),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"),
        (f"\t{UPSTREAMS_DATE} ", UPSTREAMS_DATE),
        ("yesterday", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("", "Tue, 14 Nov 2023 22:13:20 GMT"),
    ],
)
def test_date_is_the_upstreams(date: str, kept: str) -> None:
    """Unless it is none: then it is when the call was sent."""
    assert admitted(((b"date", date.encode()),)).date == kept


def test_without_a_date_it_is_when_the_call_was_sent() -> None:
    """Of the first call, and of the one that confirmed it later."""
    entry = admitted()

    assert entry.date == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert renewed(entry).date == "Tue, 14 Nov 2023 22:14:00 GMT"


def test_renew_keeps_body_and_version_and_takes_the_times() -> None:
    """A 304 makes nothing of the content anew, and everything of the time."""
    entry = admitted(((b"age", b"20"),), body=b'{"v": 1}')

    again = renewed(entry, (b"date", UPSTREAMS_DATE.encode()))

    assert again == entry.but(
        date=UPSTREAMS_DATE,
        confirmed_at=LATER.started,
        initial_age=0.0,
        generation=9,
    )
    assert again.body is entry.body


def test_a_renewal_belongs_to_its_own_epoch() -> None:
    """What upstream confirmed after a flush of Redis holds under the new floor."""
    entry = renew(admitted(), Reply(304, (), b""), Ticket("new", 0, SENT), DEFAULTS, 0.0)

    assert entry.epoch == "new"


def test_renew_updates_fields_by_name() -> None:
    """Those of the 304 replace all of that name, the others stay (RFC 9111, 3.2)."""
    entry = admitted(((b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b"3")))

    again = renewed(entry, (b"x-a", b"4"), (b"x-c", b"5"), (b"x-c", b"6"))

    assert again.headers == ((b"x-b", b"3"), (b"x-a", b"4"), (b"x-c", b"5"), (b"x-c", b"6"))
    assert renewed(again, *again.headers).headers == again.headers


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ((), True),
        (((b"cache-control", b"max-age=5"),), False),
        (((b"cache-control", b"max-age=5"), (b"cache-control", b"no-transform")), True),
    ],
)
def test_no_transform_is_all_that_is_kept_of_cache_control(told: Headers, kept: bool) -> None:
    """Until a 304 has another `Cache-Control` (RFC 9111, 3.2 and 5.2.2.6)."""
    entry = admitted(((b"cache-control", b"max-age=9, no-transform"),))

    assert entry.headers == (NO_TRANSFORM,)
    assert renewed(entry, *told).headers == ((NO_TRANSFORM,) if kept else ())
    assert admitted(((b"cache-control", b"max-age=9"),)).headers == ()


@pytest.mark.parametrize("name", [b"etag", b"last-modified", b"content-type"])
def test_a_304_says_nothing_of_the_body(name: bytes) -> None:
    """A wrong one must not tie its validators to the body that we hold, and so repeat itself."""
    entry = admitted(((name, b"with the body"),))

    assert renewed(entry, (name, b"with the 304")).headers == entry.headers
    assert renewed(entry_of(headers=()), (name, b"with the 304")).headers == ()


@pytest.mark.parametrize(
    ("headers", "forbidden"),
    [
        ((), False),
        (((b"cache-control", b"private, max-age=0"),), False),
        (((b"cache-control", b"no-store"),), True),
        (
            (
                (b"cache-control", b"private"),
                (b"cache-control", b"max-age=0,No-Store"),
            ),
            True,
        ),
        (((b"cache-control", b'private="x, no-store, y"'),), False),
        (((b"pragma", b"no-store"),), False),
    ],
)
def test_no_store_is_respected_or_not(headers: Headers, forbidden: bool) -> None:
    """As `freshness.no_store` says."""
    expected = NotStoredReason.NO_STORE if forbidden else None

    assert why_not_stored(headers, DEFAULTS) is expected
    assert why_not_stored(headers, replace(DEFAULTS, respect_no_store=False)) is None
