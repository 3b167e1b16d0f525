"""What the upstream says of reuse: RFC 9111, 5861 and 9213."""

from __future__ import annotations

import pytest

from gateway.core.cache.policy import Windows
from gateway.core.cache.rfc9111 import (
    explicit_lifetime,
    guessed_lifetime,
    initial_age,
    why_not_stored,
    windows_for,
)
from gateway.core.http.cache_control import LARGEST_DELTA
from gateway.core.http.fields import Headers
from gateway.core.instant import from_seconds, to_http_date
from gateway.core.vocabulary import NotStoredReason as Reason

NOW = 1_700_000_000.0


def at(seconds: float) -> bytes:
    """An HTTP-date so many seconds from now."""
    return to_http_date(from_seconds(NOW + seconds)).encode()


def control(*values: bytes) -> Headers:
    """A `Cache-Control`, a line each."""
    return tuple((b"cache-control", value) for value in values)


def cdn(value: bytes) -> Headers:
    """A `CDN-Cache-Control`."""
    return ((b"cdn-cache-control", value),)


DATED: Headers = ((b"date", at(0)),)
LAST = b"Fri, 31 Dec 9999 23:59:59 GMT"


@pytest.mark.parametrize(
    ("headers", "shared", "private"),
    [
        ((), None, None),
        (control(b"max-age=60"), 60, 60),
        (control(b"max-age=60", b"s-maxage=1"), 1, 60),
        (control(b"max-age=0, s-maxage=60"), 60, 0),
        (control(b"s-maxage=60"), 60, None),
        (control(b"max-age=60, no-cache"), 0, 0),
        (control(b"max-age=60", b"max-age=1"), 60, 60),
        ((*DATED, (b"expires", at(30))), 30, 30),
        ((*DATED, (b"expires", at(-30))), 0, 0),
        (((b"date", at(400)), (b"expires", at(300))), 0, 0),
        (((b"date", b"foo"), (b"expires", at(10))), 10, 10),
        ((*DATED, (b"expires", b"0")), 0, 0),
        ((*DATED, (b"expires", LAST)), LARGEST_DELTA, LARGEST_DELTA),
        ((*DATED, (b"expires", at(30)), (b"expires", at(30))), 0, 0),
        ((*control(b"max-age=60"), *DATED, (b"expires", b"0")), 60, 60),
        ((*control(b"max-age=60"), *cdn(b"max-age=1")), 1, 60),
        ((*cdn(b"max-age=60"), *DATED, (b"expires", at(-30))), 60, 0),
        ((*cdn(b"private"), *DATED, (b"expires", at(30))), None, 30),
        ((*cdn(b"max-age=60, &&&"), *control(b"max-age=1")), 1, 1),
        ((*cdn(b"no-cache"), *control(b"max-age=60")), 0, 60),
    ],
)
def test_the_explicit_lifetime(
    headers: Headers, shared: float | None, private: float | None
) -> None:
    """Targeted before s-maxage before max-age before Expires (4.2.1); the first two are for
    shared caches alone."""
    assert explicit_lifetime(headers, NOW, is_shared=True) == shared
    assert explicit_lifetime(headers, NOW, is_shared=False) == private


@pytest.mark.parametrize(
    ("status", "headers", "guess"),
    [
        (200, (*DATED, (b"last-modified", at(-1_000))), 100),
        (404, (*DATED, (b"last-modified", at(-1_000))), 100),
        (200, (*DATED, (b"last-modified", at(-10_000_000))), 86_400),
        (200, (*DATED, (b"last-modified", at(1_000))), 0),
        (201, (*DATED, (b"last-modified", at(-1_000))), None),
        (599, (*DATED, (b"last-modified", at(-1_000))), None),
        (599, (*DATED, (b"last-modified", at(-1_000)), *control(b"public")), 100),
        (200, DATED, None),
        (200, (*DATED, (b"last-modified", b"yesterday")), None),
    ],
)
def test_a_lifetime_is_guessed_from_the_last_change(
    status: int, headers: Headers, guess: float | None
) -> None:
    """A tenth of the time since then, a day at most, for some statuses (4.2.2)."""
    assert guessed_lifetime(status, headers, NOW, is_shared=True) == guess


@pytest.mark.parametrize(
    ("status", "headers", "shared", "private"),
    [
        (200, (), None, None),
        (200, control(b"no-store"), Reason.NO_STORE, Reason.NO_STORE),
        (200, control(b"max-age=60, No-StOrE"), Reason.NO_STORE, Reason.NO_STORE),
        (200, control(b"private, max-age=60"), Reason.PRIVATE, None),
        (200, (*cdn(b"private"), *control(b"max-age=60")), Reason.PRIVATE, None),
        (200, (*cdn(b"max-age=60"), *control(b"no-store")), None, Reason.NO_STORE),
        (200, (*cdn(b"max-age=60, &"), *control(b"no-store")), Reason.NO_STORE, Reason.NO_STORE),
        (200, control(b"max-age=60, no-store, must-understand"), None, None),
        (599, control(b"max-age=60, no-store, must-understand"), Reason.STATUS, Reason.STATUS),
        (200, ((b"vary", b"*"),), Reason.VARY, Reason.VARY),
        (302, (), Reason.STATUS, Reason.STATUS),
        (302, control(b"max-age=60"), None, None),
        (302, control(b"s-maxage=60"), None, Reason.STATUS),
        (599, control(b"public"), None, None),
        *((status, control(b"max-age=60"), Reason.STATUS, Reason.STATUS) for status in (206, 401)),
        (403, control(b"public, max-age=60"), Reason.STATUS, Reason.STATUS),
    ],
)
def test_what_may_be_stored(
    status: int, headers: Headers, shared: Reason | None, private: Reason | None
) -> None:
    """RFC 9111, 3: what it permits, and nothing that concerns one caller alone."""
    assert why_not_stored(status, headers, is_shared=True) is shared
    assert why_not_stored(status, headers, is_shared=False) is private


@pytest.mark.parametrize(
    ("headers", "age"),
    [
        ((), 0),
        (((b"age", b"30"),), 30),
        (((b"age", b"30, 0"),), 30),
        (((b"age", b"0"), (b"age", b"30")), 0),
        (((b"age", b"-30"),), 0),
        (((b"age", b"30.0"),), 0),
        (((b"date", at(-50)), (b"age", b"30")), 50),
        (((b"date", at(-50)), (b"age", b"70")), 70),
        (((b"date", at(50)),), 0),
        (((b"date", b"Mon, 01 Jan 0001 00:00:00 GMT"),), LARGEST_DELTA),
    ],
)
def test_the_age_that_it_came_with(headers: Headers, age: float) -> None:
    """The larger of what it says and what its date tells, in whole seconds (4.2.3)."""
    assert initial_age(headers, NOW + 0.9) == age


@pytest.mark.parametrize(
    ("headers", "refreshing", "failing"),
    [
        (control(b"max-age=1"), 300, 86_400),
        (control(b"max-age=1, stale-while-revalidate=9"), 9, 86_400),
        (control(b"max-age=1, stale-if-error=0"), 300, 0),
        (control(b"stale-while-revalidate=9, stale-if-error=9, must-revalidate"), 0, 0),
        (control(b"no-cache"), 0, 0),
        (control(b"proxy-revalidate"), 0, 0),
        (control(b"s-maxage=1, stale-while-revalidate=9"), 0, 0),
        (cdn(b"max-age=1, stale-if-error=7"), 300, 7),
    ],
)
def test_how_long_it_may_be_used_stale(headers: Headers, refreshing: float, failing: float) -> None:
    """As it says (RFC 5861), as configured where it says nothing; what must be revalidated is
    never used stale (RFC 9111, 4.2.4)."""
    windows = windows_for(headers, Windows(), is_shared=True)

    assert (windows.stale_while_revalidate, windows.stale_if_error) == (refreshing, failing)


@pytest.mark.parametrize("value", [b"proxy-revalidate", b"s-maxage=1"])
def test_a_private_cache_heeds_no_word_to_shared_ones(value: bytes) -> None:
    """`proxy-revalidate` and `s-maxage` do not bind it (5.2.2.8, 5.2.2.10)."""
    assert windows_for(control(value), Windows(), is_shared=False) == Windows()
