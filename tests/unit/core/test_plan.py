"""The plan of a request: rows of stored response, request and state."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.policy import ByPolicy, Plan, Windows
from gateway.core.http.cache_control import RequestDirectives
from gateway.core.instant import Instant
from gateway.core.plan import Ask, plan
from tests.doubles.stored import WORDS, entry_of, version

NOW = 1_000_000.0
RULES = ByPolicy(Windows(30.0, stale_while_revalidate=300.0, stale_if_error=3_600.0), vary=True)
KNOWN, REFUSED = version(), Plan.ONLY_IF_CACHED
CALLER = Caller("passthrough", "default", "p1", "default", "token", owns_token=True)


class Row(NamedTuple):
    """`age` is that of the stored response (None: none is stored)."""

    age: float | None
    plan: Plan
    negative: bool = False
    ruled_out: bool = False
    left_alone: bool = False
    frozen: bool = False
    cached: bool = False
    directives: RequestDirectives | None = None
    at_least: Instant | None = None

    @property
    def entry(self) -> Entry | None:
        """The stored response."""
        if self.age is None:
            return None
        entry = entry_of(FetchStart(NOW - self.age, WORDS), None if self.negative else KNOWN)
        return entry.but(freshness_lifetime=30.0)


FRESH, STALE, SOFT, UNUSABLE = 10.0, 40.0, 400.0, 9_000.0
NO_CACHE, NO_STORE = RequestDirectives(no_cache=True), RequestDirectives(no_store=True)
MAX_STALE, MAX_AGE = RequestDirectives(max_stale=math.inf), RequestDirectives(max_age=20.0)
LONG, MIN_FRESH = RequestDirectives(max_age=100.0), RequestDirectives(min_fresh=10.0)
LONG_STALE = RequestDirectives(max_age=100.0, max_stale=15.0)
LATER = Instant(KNOWN + 1)
ROWS = {
    # The stored response alone.
    "nothing": Row(None, Plan.FETCH),
    "fresh": Row(FRESH, Plan.SERVE),
    "fresh 404": Row(FRESH, Plan.SERVE, negative=True),
    "stale": Row(STALE, Plan.SERVE_AND_REFRESH),
    "stale 404": Row(STALE, Plan.FETCH, negative=True),
    "in stale-if-error": Row(SOFT, Plan.WAIT_SOFTLY),
    "unusable": Row(UNUSABLE, Plan.FETCH),
    "ruled out": Row(FRESH, Plan.FETCH, ruled_out=True),
    # The last fetch failed.
    "alone: nothing": Row(None, Plan.FETCH, left_alone=True),
    "alone: fresh": Row(FRESH, Plan.SERVE, left_alone=True),
    "alone: stale": Row(STALE, Plan.SERVE_LEFT_ALONE, left_alone=True),
    "alone: in stale-if-error": Row(SOFT, Plan.SERVE_LEFT_ALONE, left_alone=True),
    "alone: unusable": Row(UNUSABLE, Plan.FETCH, left_alone=True),
    "alone: ruled out": Row(FRESH, Plan.FETCH, left_alone=True, ruled_out=True),
    "alone: no-store": Row(SOFT, Plan.SERVE_LEFT_ALONE, left_alone=True, directives=NO_STORE),
    "alone: no-cache": Row(SOFT, Plan.FETCH_ANEW, left_alone=True, directives=NO_CACHE),
    # The mode `frozen`.
    "frozen: nothing": Row(None, Plan.FROZEN, frozen=True),
    "frozen: fresh": Row(FRESH, Plan.SERVE, frozen=True),
    "frozen: stale": Row(STALE, Plan.SERVE_FROZEN, frozen=True),
    "frozen: in stale-if-error": Row(SOFT, Plan.SERVE_FROZEN, frozen=True),
    "frozen: unusable": Row(UNUSABLE, Plan.FROZEN, frozen=True),
    "frozen: ruled out": Row(FRESH, Plan.SERVE_FROZEN, frozen=True, ruled_out=True),
    "frozen: 404 ruled out": Row(FRESH, Plan.FROZEN, negative=True, frozen=True, ruled_out=True),
    "frozen: no-cache": Row(FRESH, Plan.SERVE, frozen=True, directives=NO_CACHE),
    "frozen: only-if-cached": Row(None, Plan.FROZEN, frozen=True, cached=True),
    # `only-if-cached`.
    "cached: nothing": Row(None, REFUSED, cached=True),
    "cached: fresh": Row(FRESH, Plan.SERVE, cached=True),
    "cached: stale": Row(STALE, Plan.SERVE_AND_REFRESH, cached=True),
    "cached: in stale-if-error": Row(SOFT, REFUSED, cached=True),
    "cached: no-cache": Row(FRESH, REFUSED, cached=True, directives=NO_CACHE),
    "cached: no-store": Row(None, REFUSED, cached=True, directives=NO_STORE),
    # Directives.
    "no-cache: nothing": Row(None, Plan.FETCH, directives=NO_CACHE),
    "no-cache: fresh": Row(FRESH, Plan.FETCH_ANEW, directives=NO_CACHE),
    "no-cache: ruled out": Row(FRESH, Plan.FETCH_ANEW, directives=NO_CACHE, ruled_out=True),
    "no-store: nothing": Row(None, Plan.FETCH_ANEW, directives=NO_STORE),
    "no-store: fresh": Row(FRESH, Plan.SERVE, directives=NO_STORE),
    "no-store: stale": Row(STALE, Plan.SERVE_AND_REFRESH, directives=NO_STORE),
    "no-store: in stale-if-error": Row(SOFT, Plan.FETCH_ANEW, directives=NO_STORE),
    "max-age: as old": Row(20.0, Plan.SERVE, directives=MAX_AGE),
    "max-age: older": Row(20.5, Plan.FETCH_ANEW, directives=MAX_AGE),
    "max-age: stale": Row(STALE, Plan.FETCH_ANEW, directives=LONG),
    "max-age: stale, max-stale": Row(STALE, Plan.SERVE_AND_REFRESH, directives=LONG_STALE),
    "max-age: stale, max-stale is less": Row(50.0, Plan.FETCH_ANEW, directives=LONG_STALE),
    "min-fresh: as fresh": Row(20.0, Plan.SERVE, directives=MIN_FRESH),
    "min-fresh: less fresh": Row(20.5, Plan.FETCH_ANEW, directives=MIN_FRESH),
    "max-stale: fresh": Row(FRESH, Plan.SERVE, directives=MAX_STALE),
    "max-stale: in stale-if-error": Row(SOFT, Plan.SERVE_AND_REFRESH, directives=MAX_STALE),
    "max-stale: unusable": Row(UNUSABLE, Plan.FETCH, directives=MAX_STALE),
    "max-stale: ruled out": Row(FRESH, Plan.FETCH, directives=MAX_STALE, ruled_out=True),
    # A version is needed.
    "version: nothing": Row(None, Plan.FETCH_VERSION, at_least=KNOWN),
    "version: known": Row(FRESH, Plan.SERVE, at_least=KNOWN),
    "version: known, stale": Row(STALE, Plan.SERVE_AND_REFRESH, at_least=KNOWN),
    "version: known, ruled out": Row(FRESH, Plan.FETCH_VERSION, at_least=KNOWN, ruled_out=True),
    "version: later": Row(FRESH, Plan.FETCH_VERSION, at_least=LATER),
    "version: 404": Row(FRESH, Plan.FETCH_VERSION, at_least=KNOWN, negative=True),
    "version: later, frozen": Row(FRESH, Plan.FETCH_VERSION, at_least=LATER, frozen=True),
    "version: later, cached": Row(FRESH, REFUSED, at_least=LATER, cached=True),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_plan(row: Row) -> None:
    """Each row of the table in the docstring, alone and with the conditions that change it."""
    ask = Ask(Key("p1", "trn_1"), CALLER, row.cached, (), row.directives, row.at_least)

    planned = plan(
        row.entry,
        ask,
        NOW,
        RULES,
        only_rescue=row.ruled_out,
        is_left_alone=row.left_alone,
        is_frozen=row.frozen,
    )

    assert planned is row.plan
