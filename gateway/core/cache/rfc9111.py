"""What the upstream's own header fields say of reuse: may it be stored, how long is it fresh, how
long may it be used after that. RFC 9111, with RFC 5861 and 9213.

Functions of a status and of header fields. `is_shared` tells whether the share of the cache that
it is for has more than one caller: a share that belongs to one credential is a private cache.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import floor
from typing import Final

from gateway.core.cache.policy import Windows
from gateway.core.http.cache_control import Directives, directives_of, joined, seconds, targeted
from gateway.core.http.fields import Headers, delta_seconds, first
from gateway.core.http.vary import varies_on
from gateway.core.instant import parse_http_date
from gateway.core.vocabulary import NotStoredReason

# RFC 9110, 15.1: what may be stored without being told how long; 206 is never asked for.
_HEURISTIC: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
# Whose meaning for a cache is known, for must-understand (RFC 9111, 5.2.2.3).
_UNDERSTOOD: Final = _HEURISTIC | {201, 202, 302, 303, 307, 400, 402, 406, 409, 500, 502, 503, 504}
# Never kept: a part, an answer to a condition, and what concerns the one caller.
_NEVER: Final = frozenset({206, 304, 401, 403, 407, 429})
# RFC 9111, 4.2.2: a tenth of the time since the last change, and a day at most.
_PART_OF_AGE: Final = 0.1
_LONGEST_GUESS: Final = 86_400.0


def said(headers: Headers, *, is_shared: bool) -> Directives:
    """The directives that hold for us: the targeted ones (RFC 9213) where they are for a shared
    cache and there are any, else those of `Cache-Control`."""
    for_cdns = _for_cdns(headers, is_shared=is_shared)
    return directives_of(_all(headers, b"cache-control")) if for_cdns is None else for_cdns


def why_not_stored(status: int, headers: Headers, *, is_shared: bool) -> NotStoredReason | None:
    """Why it must not be stored (RFC 9111, 3); None where it may be."""
    directives = said(headers, is_shared=is_shared)
    if status in _NEVER:
        return NotStoredReason.STATUS
    if b"must-understand" in directives:
        if status not in _UNDERSTOOD:
            return NotStoredReason.STATUS
    elif b"no-store" in directives:
        return NotStoredReason.NO_STORE
    if is_shared and b"private" in directives:
        return NotStoredReason.PRIVATE
    if varies_on(headers) is None:
        return NotStoredReason.VARY
    permitted = status in _HEURISTIC or b"public" in directives
    if not permitted and explicit_lifetime(headers, 0.0, is_shared=is_shared) is None:
        return NotStoredReason.STATUS
    return None


def explicit_lifetime(headers: Headers, received: float, *, is_shared: bool) -> float | None:
    """For how many seconds it is fresh by its own word (RFC 9111, 4.2.1); None where it says
    nothing. `received` stands in for a missing `Date`."""
    directives = said(headers, is_shared=is_shared)
    if b"no-cache" in directives:
        return 0.0
    lifetime = seconds(directives, b"s-maxage") if is_shared else None
    if lifetime is None:
        lifetime = seconds(directives, b"max-age")
    if lifetime is not None or _for_cdns(headers, is_shared=is_shared) is not None:
        return lifetime  # a targeted field overrules `Expires` (RFC 9213, 2.2)
    expires = [value for name, value in headers if name == b"expires"]
    if not expires:
        return None
    until = _moment(expires[0]) if len(expires) == 1 else None
    return 0.0 if until is None else max(0.0, until - date_of(headers, received))


def guessed_lifetime(
    status: int, headers: Headers, received: float, *, is_shared: bool
) -> float | None:
    """What is reasonable where it says nothing (RFC 9111, 4.2.2); None without `Last-Modified`."""
    changed = _moment(first(headers, b"last-modified"))
    public = b"public" in said(headers, is_shared=is_shared)
    if changed is None or not (public or status in _HEURISTIC):
        return None
    unchanged_for = max(0.0, date_of(headers, received) - changed)
    return min(unchanged_for * _PART_OF_AGE, _LONGEST_GUESS)


def initial_age(headers: Headers, sent: float) -> float:
    """How old it was, at least, when the request for it was `sent` (RFC 9111, 4.2.3)."""
    apparent = floor(sent - date_of(headers, sent))
    return max(float(apparent), delta_seconds(first(headers, b"age")), 0.0)


def date_of(headers: Headers, otherwise: float) -> float:
    """When it was made, in epoch seconds (RFC 9110, 6.6.1)."""
    made = _moment(first(headers, b"date"))
    return otherwise if made is None else made


def windows_for(headers: Headers, windows: Windows, *, is_shared: bool) -> Windows:
    """The stale windows of this answer: its own (RFC 5861), the configured ones where it says
    nothing, none where it forbids (RFC 9111, 4.2.4)."""
    fields = (_all(headers, b"cache-control"), _all(headers, b"cdn-cache-control"))
    return _windows(*fields, windows, is_shared)


@lru_cache(1_024)
def _windows(control: bytes, for_cdns: bytes, windows: Windows, is_shared: bool) -> Windows:
    headers = ((b"cache-control", control), (b"cdn-cache-control", for_cdns))
    directives = said(headers, is_shared=is_shared)
    forbidding = {b"must-revalidate", b"no-cache"}
    if is_shared:  # RFC 9111, 5.2.2.8 and 5.2.2.10
        forbidding |= {b"proxy-revalidate", b"s-maxage"}
    if not forbidding.isdisjoint(directives):
        return replace(windows, stale_while_revalidate=0.0, stale_if_error=0.0)
    refreshing = seconds(directives, b"stale-while-revalidate")
    failing = seconds(directives, b"stale-if-error")
    return replace(
        windows,
        stale_while_revalidate=(
            windows.stale_while_revalidate if refreshing is None else refreshing
        ),
        stale_if_error=windows.stale_if_error if failing is None else failing,
    )


def _for_cdns(headers: Headers, *, is_shared: bool) -> Directives | None:
    value = _all(headers, b"cdn-cache-control") if is_shared else b""
    return targeted(value) if value else None


def _all(headers: Headers, name: bytes) -> bytes:
    return joined(value for key, value in headers if key == name)


def _moment(value: bytes | None) -> float | None:
    return None if value is None else parse_http_date(value.decode("latin-1"))
